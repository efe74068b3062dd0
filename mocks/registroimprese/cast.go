package registroimprese

import (
	"slices"
	"time"

	"raccordo/mocks/lab"
)

// A quirk is how the register misbehaves about one enterprise.
type quirk string

// The quirks of truth: the register itself holds something peculiar.
const (
	unknown     quirk = "unknown"      // not enrolled
	ceased      quirk = "ceased"       // the gateway still knows the last seat, and says that the enterprise is not there
	forgotten   quirk = "forgotten"    // ceased so long ago that the gateway knows nothing; PDND does
	withoutSeat quirk = "without seat" // the gateway has no seat and says that the enterprise exists
	idle        quirk = "idle"         // has not begun to trade: no activities
	oddPEC      quirk = "odd pec"      // what stands in the register as PEC is no address
	vague       quirk = "vague"        // PDND leaves the standing's code empty
)

// The quirks of shape, on the gateway.
const (
	nullSeat   quirk = "null seat"   // indirizzoLocalizzazione is null
	getNCivico quirk = "getnCivico"  // the published file's spelling
	nameInside quirk = "name inside" // denominazione stands in indirizzoLocalizzazione
	noName     quirk = "no name"     // there is no denominazione at all
	nullList   quirk = "null list"   // elencoImpreseRappresentate is null
	emptyList  quirk = "empty list"  // elencoImpreseRappresentate is empty
)

// The quirks of the wire, on both roads unless said otherwise.
const (
	broken      quirk = "500"           // always
	busy        quirk = "503"           // the first two look-ups of each kind
	lost        quirk = "reset"         // the answer to the first look-up of each kind is lost by a reset
	slow        quirk = "slow"          // the first look-up of each kind takes long
	page        quirk = "page"          // a page of HTML with status 200
	blank       quirk = "blank"         // an object without members, with status 200
	misrouted   quirk = "misrouted"     // 404 without the register's own word
	errorInside quirk = "error inside"  // a failure inside a 200 that is not "not found"; on the gateway alone
	notAList    quirk = "wrong members" // members of other types than the contract's
)

// A tale is one of the mock's own enterprises and what is peculiar about it.
type tale struct {
	story, name string
	speaker     [2]string // surname and name of the legal representative
	status      string    // codice of statoAttivita; empty: A
	verdict     string    // esitoVerifica of its representative where it is not the day's; notFound: "LR Not found"
	pec         string    // local part; empty: none
	quirk       quirk
}

// notFound as a verdict stands for the gateway's word that it knows no such representative.
const notFound = "not found"

// tales are told in an order that does not change: serials and representatives follow from it.
func tales() []tale {
	return []tale{
		{story: "ri-active", name: "Ferramenta Chiodolungo S.r.l.", speaker: [2]string{"Abruzzini", "Carlo"}, pec: "chiodolungo"},
		{story: "ri-ceased", name: "Fornace Terracruda S.r.l.", speaker: [2]string{"Bergamaschi", "Duilio"}, pec: "terracruda", status: "C", quirk: ceased},
		{story: "ri-inactive", name: "Serre Semefutro S.r.l.", speaker: [2]string{"Cattabriga", "Elio"}, pec: "semefutro", status: "I", quirk: idle},
		{story: "ri-suspended", name: "Lido Ondaferma S.a.s.", speaker: [2]string{"Dallolio", "Fausto"}, pec: "ondaferma", status: "S"},
		{story: "ri-liquidation", name: "Mobilificio Pianofinale S.r.l. in liquidazione", speaker: [2]string{"Evangelisti", "Gisella"}, pec: "pianofinale", status: "L"},
		{story: "ri-insolvent", name: "Cartiera Fogliovuoto S.p.A.", speaker: [2]string{"Fabbroni", "Ilde"}, pec: "fogliovuoto", status: "P"},
		{story: "ri-odd-status", name: "Cooperativa Terzavia Soc. Coop.", speaker: [2]string{"Gandolfi", "Loris"}, pec: "terzavia", status: "Q"},
		{story: "ri-no-status", name: "Segheria Tacitalegna S.n.c.", speaker: [2]string{"Invernizzi", "Mara"}, pec: "tacitalegna", quirk: vague},
		{story: "ri-unknown", name: "Conceria Senzatraccia S.r.l.", speaker: [2]string{"Lazzarotti", "Nevio"}, pec: "senzatraccia", quirk: unknown},
		{story: "ri-without-pec", name: "Orologeria Senzaposta S.n.c.", speaker: [2]string{"Marangoni", "Olga"}},
		{story: "ri-odd-pec", name: "Stamperia Malscritta S.r.l.", speaker: [2]string{"Nardinocchi", "Piera"}, quirk: oddPEC},
		{story: "ri-null-seat", name: "Circo Sempreviaggio S.n.c.", speaker: [2]string{"Orsolini", "Quinto"}, pec: "sempreviaggio", quirk: nullSeat},
		{story: "ri-seat-not-found", name: "Birrificio Appenanato S.r.l.", speaker: [2]string{"Pazzaglia", "Rosa"}, pec: "appenanato", quirk: withoutSeat},
		{story: "ri-getncivico", name: "Torrefazione Numerofisso S.r.l.", speaker: [2]string{"Quartieri", "Sante"}, pec: "numerofisso", quirk: getNCivico},
		{story: "ri-name-inside", name: "Gelateria Nomeinterno S.a.s.", speaker: [2]string{"Raimondi", "Tosca"}, pec: "nomeinterno", quirk: nameInside},
		{story: "ri-name-absent", name: "Bottega Senzanome S.n.c.", speaker: [2]string{"Santarelli", "Ubaldo"}, pec: "senzanome", quirk: noName},
		{story: "ri-exists-false", name: "Filanda Tempoperduto S.p.A.", speaker: [2]string{"Tabarelli", "Vera"}, pec: "tempoperduto", status: "C", quirk: forgotten},
		{story: "ri-represents-lowercase", name: "Rilegatoria Minuscola S.r.l.", speaker: [2]string{"Ugolotti", "Walter"}, pec: "minuscola", verdict: "ok"},
		{story: "ri-represents-verificaok", name: "Vetreria Verificata S.r.l.", speaker: [2]string{"Valdambrini", "Zita"}, pec: "verificata", verdict: "VerificaOk"},
		{story: "ri-represents-other", name: "Officina Altrafirma S.r.l.", speaker: [2]string{"Zaccagnini", "Attilio"}, pec: "altrafirma", verdict: "KO"},
		{story: "ri-represents-odd", name: "Distilleria Mezzavoce S.r.l.", speaker: [2]string{"Arcangeli", "Bice"}, pec: "mezzavoce", verdict: "DA VERIFICARE"},
		{story: "ri-represents-not-found", name: "Cava Nessunafirma S.r.l.", speaker: [2]string{"Bentivoglio", "Corrado"}, pec: "nessunafirma", verdict: notFound},
		{story: "ri-holder-of-three", name: "Vigneti Trecolli Soc. Agr.", speaker: [2]string{"Castiglioni", "Dina"}, pec: "trecolli"},
		{story: "ri-holder-of-three", name: "Cantine Trecolli S.r.l.", speaker: [2]string{"Castiglioni", "Dina"}, pec: "cantine-trecolli"},
		{story: "ri-holder-of-three", name: "Agriturismo Trecolli S.a.s.", speaker: [2]string{"Castiglioni", "Dina"}, pec: "agriturismo-trecolli"},
		{story: "ri-holder-null-list", name: "Pelletteria Elenconullo S.r.l.", speaker: [2]string{"Domenichini", "Ettore"}, pec: "elenconullo", quirk: nullList},
		{story: "ri-holder-empty-list", name: "Maglieria Elencovuoto S.r.l.", speaker: [2]string{"Ercolani", "Flaminia"}, pec: "elencovuoto", quirk: emptyList},
		{story: "ri-broken", name: "Idraulica Tuborotto S.r.l.", speaker: [2]string{"Falaschi", "Gualtiero"}, pec: "tuborotto", quirk: broken},
		{story: "ri-busy", name: "Ristorante Sempreoccupato S.r.l.", speaker: [2]string{"Gherardesca", "Ilaria"}, pec: "sempreoccupato", quirk: busy},
		{story: "ri-reset", name: "Funivie Cavocorto S.p.A.", speaker: [2]string{"Innocenzi", "Lando"}, pec: "cavocorto", quirk: lost},
		{story: "ri-slow", name: "Trasporti Passolumaca S.n.c.", speaker: [2]string{"Lorenzetti", "Moira"}, pec: "passolumaca", quirk: slow},
		{story: "ri-html", name: "Grafica Paginabella S.r.l.", speaker: [2]string{"Montanarini", "Nando"}, pec: "paginabella", quirk: page},
		{story: "ri-empty", name: "Imballaggi Scatolavuota S.r.l.", speaker: [2]string{"Nicoletti", "Ornella"}, pec: "scatolavuota", quirk: blank},
		{story: "ri-misrouted", name: "Corriere Viasbagliata S.r.l.", speaker: [2]string{"Ottaviani", "Primo"}, pec: "viasbagliata", quirk: misrouted},
		{story: "ri-error-inside", name: "Dolciaria Sorpresinterna S.r.l.", speaker: [2]string{"Pellicciari", "Rina"}, pec: "sorpresinterna", quirk: errorInside},
		{story: "ri-wrong-members", name: "Metalli Stampostorto S.p.A.", speaker: [2]string{"Ranieri", "Silvano"}, pec: "stampostorto", quirk: notAList},
	}
}

const firstSerial = 7_100_001

// member is the tale's enterprise as every mock knows it. Nobody else has its representative, who belongs to no office.
func (t tale) member(i int) lab.Member {
	listing := &lab.Listing{}
	if t.pec != "" {
		listing = lab.NewListing(t.pec)
	}
	m := lab.NewFirm(t.story, firstSerial+i, i%100+1, t.name, listing)
	born := time.Date(1949+len(t.speaker[0]), time.Month(len(t.speaker[1])), 11, 0, 0, 0, 0, time.UTC)
	m.Representative = lab.NewPerson("", t.speaker[0], t.speaker[1], born, false, "H501").CodiceFiscale
	return m
}

// Cast brings an enterprise for every standing, shape and trouble of the register. Each has a life elsewhere, so that
// any of them can ask as an employer.
func (m *Mock) Cast() []lab.Member {
	var out []lab.Member
	for i, t := range tales() {
		out = append(out, t.member(i))
	}
	return out
}

// talesByCode finds the tales by codice fiscale of the enterprise.
func talesByCode() map[string]tale {
	out := map[string]tale{}
	for i, t := range tales() {
		out[t.member(i).CodiceFiscale] = t
	}
	return out
}

// is tells whether the tale has one of the quirks.
func (t tale) is(quirks ...quirk) bool { return slices.Contains(quirks, t.quirk) }
