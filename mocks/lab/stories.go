package lab

import (
	"time"
)

// Domains of the cast. Two providers host two PEC domains each; the last two are no PEC.
const (
	DomainMinistry = "pec.ministero.test" // gestore-uno.test: the sender's own
	DomainFirms    = "pec.imprese.test"   // gestore-uno.test
	DomainCitizens = "pec.cittadini.test" // gestore-due.test
	DomainStudios  = "pec.studi.test"     // gestore-due.test
	DomainOrdinary = "posta.test"         // ordinary mail: accepted, never certified
	DomainUnknown  = "pec.scomparso.test" // nobody's
)

// Outcomes lists the words that, as the first dot-separated label of a recipient's local part, select what becomes of
// a message. Anything else is accepted and delivered promptly.
func Outcomes() []string {
	return []string{
		"nodest", "full", "virus", "toobig", "slow", "timeout12", "timeout24", "late", "never", "noaccept",
		"noacceptreceipt", "dup", "reorder", "mute",
	}
}

var (
	elected = day(2025, 3, 1)
	ceased  = time.Date(2026, 6, 30, 21, 59, 59, 0, time.UTC) // the last second of a day in Italy
	ceasing = time.Date(2031, 1, 10, 22, 59, 59, 0, time.UTC)
)

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

func personal(address string) Domicile { return Domicile{Address: address, From: elected} }

func professional(address, profession string) Domicile {
	return Domicile{Address: address, Profession: profession, From: elected}
}

// firm is a company whose codice fiscale is its partita IVA.
func firm(story string, serial, office int, name string, listing *Listing) Member {
	code := elevenCode(serial, office)
	return Member{
		Story: story, CodiceFiscale: code, PartitaIVA: code, Name: name, Capacity: Enterprise, INIPEC: listing,
		Representative: representative(serial),
	}
}

func pec(address string) *Listing { return &Listing{Enterprise: address} }

// body is a private-law body without partita IVA.
func body(story string, serial, office int, name string, domiciles ...Domicile) Member {
	return Member{
		Story: story, CodiceFiscale: elevenCode(serial, office), Name: name, Capacity: Body, INAD: domiciles,
		Representative: representative(serial),
	}
}

// representative is the person who speaks for the firm or body with that serial; no register of domiciles knows them.
func representative(serial int) string {
	family := []string{"Altobelli", "Bordigoni", "Casagranda", "Dellavedova", "Einaudini", "Ferracuti", "Giacomelli"}
	given := []string{"Aldo", "Berta", "Cesira", "Delio", "Emma", "Furio"}
	n := serial % 1_000_000
	return personCode(birth{family[n%len(family)], given[n%len(given)], day(1950+n%40, time.Month(n%12+1), n%28+1), n%len(given)%2 == 1, "H501"})
}

func person(story string, b birth, domiciles ...Domicile) Member {
	return Member{Story: story, CodiceFiscale: personCode(b), Name: b.surname + " " + b.name, Capacity: Person, INAD: domiciles}
}

func (m Member) quirk(q Quirk) Member {
	m.Quirk = q
	return m
}

// as is the same subject asking in another capacity.
func (m Member) as(story, capacity string) Member {
	m.Story, m.Capacity = story, capacity
	return m
}

// stories tells the stories one by one.
func stories() []Member {
	var all []Member
	all = append(all, enterpriseStories()...)
	all = append(all, traderStories()...)
	all = append(all, personStories()...)
	all = append(all, codeStories()...)
	all = append(all, troubleStories()...)
	all = append(all, bodyStories()...)
	all = append(all, mailboxStories()...)
	return all
}

func enterpriseStories() []Member {
	without := firm("company-without-pec", 7000002, 15, "Vetreria Lunaspina S.r.l.", &Listing{})
	without.INAD = []Domicile{personal("vetreria-lunaspina@" + DomainCitizens)} // a trap: INAD must not be asked
	differ := firm("company-codes-differ", 7000003, 58, "Cantieri Ventomare S.p.A.", pec("cantieri-ventomare@"+DomainFirms))
	differ.CodiceFiscale = elevenCode(7300003, 10)
	return []Member{
		firm("company-with-pec", 7000001, 1, "Officine Brighenti Tormalina S.r.l.", pec("officine-tormalina@"+DomainFirms)),
		without,
		differ,
		firm("company-unknown", 7000004, 63, "Molino Acquadoro S.n.c.", nil),
		firm("company-at-other-provider", 7000005, 24, "Serre Fiordiloto Soc. Coop. Agricola", pec("serre-fiordiloto@"+DomainStudios)),
	}
}

func traderStories() []Member {
	trader := person("sole-trader-as-enterprise", birth{"Zanforlin", "Oreste", day(1971, 4, 18), false, "L736"},
		personal("oreste.zanforlin@"+DomainCitizens))
	trader.PartitaIVA, trader.Capacity = elevenCode(7000011, 27), Enterprise
	trader.INIPEC = pec("ristoro-zanforlin@" + DomainFirms)

	bare := person("sole-trader-person-without-domicile", birth{"Malpassuti", "Ersilia", day(1966, 11, 2), true, "F839"})
	bare.PartitaIVA, bare.INIPEC = elevenCode(7000012, 63), pec("sartoria-malpassuti@"+DomainFirms)

	lawyer := person("lawyer-hiring-a-carer", birth{"Torregiani", "Livia", day(1978, 9, 23), true, "H501"},
		personal("livia.torregiani@"+DomainCitizens))
	lawyer.PartitaIVA = elevenCode(7000013, 58)
	lawyer.INIPEC = &Listing{Professionals: []string{"avv.torregiani@" + DomainStudios, "l.torregiani@" + DomainFirms}}

	unregulated := person("unregulated-professional", birth{"Bellacosa", "Dario", day(1985, 1, 30), false, "D612"},
		professional("dario.bellacosa@"+DomainStudios, "Fotografo"))
	unregulated.PartitaIVA, unregulated.Capacity = elevenCode(7000014, 48), Professional

	return []Member{
		trader, trader.as("sole-trader-as-person", Person),
		bare,
		lawyer, lawyer.as("lawyer-as-professional", Professional),
		unregulated,
	}
}

func personStories() []Member {
	null := personal("gemma.fontanarosa@" + DomainCitizens)
	null.Usage = UsageNull
	omitted := personal("ivo.castelletti@" + DomainCitizens)
	omitted.Usage = UsageOmitted
	return []Member{
		person("personal-domicile", birth{"Marescotti", "Bruno", day(1962, 5, 7), false, "A944"},
			personal("bruno.marescotti@"+DomainCitizens)),
		person("personal-and-professional", birth{"Quadrelli", "Noemi", day(1980, 2, 14), true, "G273"},
			professional("studio.quadrelli@"+DomainStudios, "Amministratore di condominio"),
			personal("noemi.quadrelli@"+DomainCitizens),
			professional("corsi.quadrelli@"+DomainStudios, "Formatore")),
		person("professional-only", birth{"Sorbello", "Tiziano", day(1974, 8, 9), false, "C351"},
			professional("tiziano.sorbello@"+DomainStudios, "Grafico")),
		person("ceased-domicile", birth{"Pierlorenzi", "Alba", day(1959, 12, 20), true, "A662"},
			Domicile{Address: "alba.pierlorenzi@" + DomainCitizens, From: elected, Until: ceased, Motivation: "CESSAZIONE_VOLONTARIA"}),
		person("ceased-by-office", birth{"Granchetti", "Ugo", day(1948, 3, 3), false, "E625"},
			Domicile{Address: "ugo.granchetti@" + DomainCitizens, From: elected, Until: ceased, Motivation: "CESSAZIONE_UFFICIO"}),
		person("ceasing-domicile", birth{"Frassineto", "Carla", day(1968, 7, 15), true, "F205"},
			Domicile{Address: "carla.frassineto@" + DomainCitizens, From: elected, Until: ceasing, Motivation: "CESSAZIONE_VOLONTARIA"}),
		person("changed-domicile", birth{"Bonacolsi", "Remo", day(1977, 10, 28), false, "E897"},
			Domicile{
				Address: "remo.bonacolsi@" + DomainStudios, From: elected, Until: ceased,
				Motivation: "CESSAZIONE_VOLONTARIA", Past: true,
			},
			Domicile{Address: "remo.bonacolsi@" + DomainCitizens, From: ceased.Add(time.Second)}),
		person("two-addresses", birth{"Stanziani", "Flora", day(1983, 6, 11), true, "D969"},
			personal("flora.stanziani@"+DomainCitizens), personal("f.stanziani@"+DomainFirms)),
		person("no-domicile", birth{"Cipollari", "Ennio", day(1955, 1, 17), false, "L219"}),
		person("invalid-email", birth{"Roncaglia", "Wanda", day(1972, 9, 5), true, "F257"},
			personal("wanda roncaglia#"+DomainCitizens)),
		person("usage-null", birth{"Fontanarosa", "Gemma", day(1990, 4, 4), true, "G337"}, null),
		person("usage-omitted", birth{"Castelletti", "Ivo", day(1965, 12, 12), false, "H294"}, omitted),
		person("absent-in-list", birth{"Pescarolo", "Elda", day(1951, 2, 26), true, "B157"}).quirk(QuirkAbsentInList),
	}
}

// codeStories are about the codes themselves.
func codeStories() []Member {
	twin := birth{"Rivalta", "Marco", day(1988, 3, 9), false, "H501"}
	omo := person("omocodic-code", twin, personal("marco.rivalta@"+DomainCitizens))
	omo.CodiceFiscale = omocodic(omo.CodiceFiscale, 1)
	omo7 := person("omocodic-code-full", birth{"Rivalta", "Marta", day(1988, 3, 9), true, "H501"}, personal("marta.rivalta@"+DomainCitizens))
	omo7.CodiceFiscale = omocodic(omo7.CodiceFiscale, 7)
	provisional := Member{
		Story: "provisional-code", CodiceFiscale: elevenCode(7200001, 58), Name: "Diallo Aminata",
		Capacity: Person, INAD: []Domicile{personal("aminata.diallo@" + DomainCitizens)},
	}
	bare := Member{
		Story: "provisional-code-without-domicile", CodiceFiscale: elevenCode(7200002, 58), Name: "Ndoye Cheikh",
		Capacity: Person,
	}
	abroad := func(story, surname, name string, born time.Time, female bool, state, local string) Member {
		return person(story, birth{surname, name, born, female, state}, personal(local+"@"+DomainCitizens))
	}
	return []Member{
		omo, omo7, provisional, bare,
		abroad("born-in-india", "Singh", "Harpreet", day(1981, 8, 2), false, "Z222", "harpreet.singh"),
		abroad("born-in-bangladesh", "Sultana", "Nasrin", day(1992, 5, 19), true, "Z249", "nasrin.sultana"),
		abroad("born-in-egypt", "Mansour", "Karim", day(1979, 11, 30), false, "Z336", "karim.mansour"),
		abroad("born-in-morocco", "Bennani", "Salma", day(1986, 2, 8), true, "Z330", "salma.bennani"),
		abroad("born-in-china", "Wu", "Li", day(1995, 6, 21), true, "Z210", "li.wu"),
		abroad("born-in-albania", "Hoxhaj", "Ilir", day(1970, 3, 27), false, "Z100", "ilir.hoxhaj"),
	}
}

// troubleStories are those about whom INAD itself has trouble.
func troubleStories() []Member {
	in := func(story string, b birth, local string, q Quirk) Member {
		return person(story, b, personal(local+"@"+DomainCitizens)).quirk(q)
	}
	return []Member{
		in("register-broken", birth{"Gualdrini", "Piero", day(1963, 10, 6), false, "D704"}, "piero.gualdrini", QuirkBroken),
		in("register-busy", birth{"Lovisolo", "Irma", day(1969, 1, 22), true, "L219"}, "irma.lovisolo", QuirkBusy),
		in("register-reset", birth{"Menegazzo", "Nino", day(1987, 7, 31), false, "G224"}, "nino.menegazzo", QuirkReset),
		in("register-slow", birth{"Trabucchi", "Dora", day(1975, 5, 13), true, "L781"}, "dora.trabucchi", QuirkSlow),
	}
}

func bodyStories() []Member {
	withVAT := body("body-with-vat", 9700003, 58, "Fondazione Arcobaleno Sereno, ETS", personal("fondazione-arcobaleno@"+DomainStudios))
	withVAT.PartitaIVA = elevenCode(7000021, 58)
	return []Member{
		body("body-with-domicile", 9700001, 15, "Associazione Passo Lento APS", personal("passo-lento@"+DomainCitizens)),
		body("body-without-domicile", 9700002, 1, "Comitato Piazza dei Tigli"),
		withVAT,
	}
}

// mailboxStories are found in their register without trouble; what becomes of the message is the story.
func mailboxStories() []Member {
	names := map[string][2]string{ // outcome: a firm, a person's surname
		"nodest": {"Pastificio Granofino S.r.l.", "Abbrescia"}, "full": {"Legnami Querciascura S.r.l.", "Baldissera"},
		"virus": {"Tipografia Inchiostrini S.n.c.", "Cantarutti"}, "toobig": {"Ceramiche Terralba S.p.A.", "Delvecchio"},
		"slow": {"Cantina Passolargo Soc. Agr.", "Fagnani"}, "timeout12": {"Caseificio Montebianchino S.r.l.", "Gherardini"},
		"timeout24": {"Autoservizi Curvalunga S.r.l.", "Ippoliti"}, "late": {"Albergo Stella Tarda S.a.s.", "Lanfranchi"},
		"never": {"Trasporti Nebbiafitta S.r.l.", "Mascetti"}, "noaccept": {"Impianti Portachiusa S.r.l.", "Novelletto"},
		"noacceptreceipt": {"Vivai Manoverde Soc. Agr.", "Olivastri"}, "dup": {"Edilizia Duemuri S.r.l.", "Pancaldi"},
		"reorder": {"Frantoio Dopoprima S.r.l.", "Quagliotti"}, "mute": {"Lanificio Silenzioso S.p.A.", "Rusconetti"},
	}
	var all []Member
	for i, outcome := range Outcomes() {
		name := names[outcome]
		all = append(all,
			firm("mailbox-"+outcome, 7000030+i, 15+i, name[0], pec(outcome+".amministrazione"+"@"+domainOf(i, DomainFirms, DomainStudios))),
			person("mailbox-"+outcome, birth{name[1], "Gino", day(1960+i, time.Month(i%12+1), i+5), false, "H501"},
				personal(outcome+".gino@"+domainOf(i, DomainCitizens, DomainFirms))))
	}
	return append(all,
		firm("mailbox-nodomain", 7000050, 44, "Pescheria Isolasparita S.n.c.", pec("pescheria@"+DomainUnknown)),
		person("mailbox-nodomain", birth{"Serafinelli", "Gino", day(1964, 2, 2), false, "H501"}, personal("gino.serafinelli@"+DomainUnknown)),
		firm("mailbox-ordinary", 7000051, 45, "Libreria Postalenta S.r.l.", pec("libreria@"+DomainOrdinary)),
		person("mailbox-ordinary", birth{"Tamborrino", "Gino", day(1973, 3, 3), false, "H501"}, personal("gino.tamborrino@"+DomainOrdinary)))
}

func domainOf(i int, even, odd string) string {
	if i%2 == 0 {
		return even
	}
	return odd
}
