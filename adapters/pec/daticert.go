package pec

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
)

// The document types of daticert.xml (RFC 6109 section 4.4): they alone decide what a message is.
const (
	tipoAccettazione  = "accettazione"
	tipoRifiuto       = "non-accettazione"
	tipoPresaInCarico = "presa-in-carico"
	tipoConsegna      = "avvenuta-consegna"
	tipoBusta         = "posta-certificata"
	tipoErrore        = "errore-consegna"
	tipoPreavviso     = "preavviso-errore-consegna"
	tipoVirus         = "rilevazione-virus"
)

// tipoAnomalia stands for a provider's wrapping of mail that cannot be certified, which has no document.
const tipoAnomalia = "anomalia"

const erroreVirus = "virus"

// errori are the kinds of errors. They explain and decide nothing.
var errori = []string{"nessuno", "no-dest", "no-dominio", erroreVirus, "altro"}

var tipi = []string{tipoAccettazione, tipoRifiuto, tipoPresaInCarico, tipoConsegna, tipoBusta, tipoErrore, tipoPreavviso, tipoVirus}

const (
	maxDaticert   = 1 << 20 // bytes
	maxIdentifier = 998     // bytes of an identificativo or msgid: a line of mail (RFC 5322 section 2.1.1)
)

// An unreadable is why a document or message cannot be read, as a stable word. It holds nothing of the document.
type unreadable string

// Error is the word.
func (u unreadable) Error() string { return string(u) }

// The words.
const (
	unreadableMIME   unreadable = "MIME"            // header block or multipart broken or beyond limits
	unreadableXML    unreadable = "DATICERT_XML"    // not well formed, not a postacert document, or beyond limits
	unreadableEntity unreadable = "DATICERT_ENTITY" // declares entities
	unreadableTipo   unreadable = "DATICERT_TIPO"   // a type the rules do not know
	unreadableID     unreadable = "DATICERT_ID"     // no identificativo, or more than one
	unreadableDate   unreadable = "DATICERT_DATE"   // no date, or none that exists
	unreadableField  unreadable = "DATICERT_FIELD"  // an element that must stand alone stands twice, or one that must be there is missing
	noDaticert       unreadable = "NO_DATICERT"     // a certified message without its document, or with two
)

// A daticert is the document of a certified message, read but not judged.
type daticert struct {
	Tipo, Errore string
	Mittente     string
	Destinatari  []party
	Oggetto      string
	Gestore      string
	Data         time.Time // in the document's own zone
	ID           string    // identificativo, without angle brackets
	MsgID        string    // as it stands there, with its angle brackets; empty when the client sent none
	Ricevuta     string    // completa, breve, sintetica
	Consegna     string    // the one recipient this document is about
	Ricezione    []string
	Esteso       string // errore-esteso
}

type party struct {
	address string
	esterno bool
}

// readDaticert reads a document strictly in what it says and tolerantly in how (pec.md section 5): any order, unknown
// elements, blanks, a byte order mark and a DOCTYPE (never resolved) are accepted; what stands twice and should stand
// once is not, for each of two readers might take another.
func readDaticert(b []byte) (*daticert, error) {
	if len(b) > maxDaticert {
		return nil, unreadableXML
	}
	text, err := documentText(b)
	if err != nil {
		return nil, err
	}
	var r daticertReader
	if err := (&scanner{to: &r, s: text}).walk(); err != nil {
		return nil, err
	}
	return r.document()
}

// An element is one that the rules know, by its place.
type element int

const (
	elUnknown element = iota
	elRoot
	elHead // intestazione
	elDati
	elMittente
	elDestinatari
	elRisposte
	elOggetto
	elGestore
	elData
	elGiorno
	elOra
	elID
	elMsgID
	elRicevuta
	elConsegna
	elRicezione
	elEsteso
	elements
)

// child knows an element by its parent and name.
func child(parent element, name string) element {
	switch parent {
	case elHead:
		switch name {
		case "mittente":
			return elMittente
		case "destinatari":
			return elDestinatari
		case "risposte":
			return elRisposte
		case "oggetto":
			return elOggetto
		}
	case elDati:
		switch name {
		case "gestore-emittente":
			return elGestore
		case "data":
			return elData
		case "identificativo":
			return elID
		case "msgid":
			return elMsgID
		case "ricevuta":
			return elRicevuta
		case "consegna":
			return elConsegna
		case "ricezione":
			return elRicezione
		case "errore-esteso":
			return elEsteso
		}
	case elData:
		switch name {
		case "giorno":
			return elGiorno
		case "ora":
			return elOra
		}
	case elRoot:
		switch name {
		case "intestazione":
			return elHead
		case "dati":
			return elDati
		}
	}
	return elUnknown
}

// holdsText tells of elements whose text is a value.
func (e element) holdsText() bool {
	switch e {
	case elUnknown, elRoot, elHead, elDati, elData, elRicevuta:
		return false
	}
	return true
}

// A daticertReader gathers the values of a document while it is scanned.
type daticertReader struct {
	open         [maxDepth]element // the open elements
	depth        int
	values       [elements]string
	seen         [elements]bool
	d            daticert
	esterno      bool // of the recipient whose element is open
	zona         string
	value        string // of the open element
	pieces       int
	more         []byte // its value, when it comes in more than one piece
	tipo, errore string
}

func (r *daticertReader) begin(s *scanner, name string) error {
	e := elUnknown
	if r.depth > 0 {
		e = child(r.open[r.depth-1], name)
	} else if name == "postacert" {
		e = elRoot
	} else {
		return unreadableXML
	}
	r.open[r.depth] = e
	r.depth++
	if e == elUnknown {
		return nil
	}
	if r.seen[e] && e != elDestinatari && e != elRicezione {
		if e == elID {
			return unreadableID
		}
		return unreadableField
	}
	r.seen[e] = true
	switch e {
	case elRoot:
		r.tipo, r.errore = s.attr("tipo"), s.attr("errore")
	case elDestinatari:
		r.esterno = s.attr("tipo") == "esterno"
	case elData:
		r.zona = s.attr("zona")
	case elRicevuta:
		r.d.Ricevuta = s.attr("tipo")
	}
	if e.holdsText() {
		r.value, r.pieces = "", 0
	}
	return nil
}

// wants tells whether text at this place is part of a value.
func (r *daticertReader) wants() bool { return r.depth > 0 && r.open[r.depth-1].holdsText() }

func (r *daticertReader) text(run string) {
	if !r.wants() || run == "" {
		return
	}
	switch r.pieces++; r.pieces {
	case 1:
		r.value = run
	case 2:
		r.more = append(append(r.more[:0], r.value...), run...)
	default:
		r.more = append(r.more, run...)
	}
}

func (r *daticertReader) leave() error {
	r.depth--
	e := r.open[r.depth]
	if !e.holdsText() {
		return nil
	}
	if r.pieces > 1 {
		r.value = string(r.more)
	}
	value := strings.TrimSpace(r.value)
	switch e {
	case elDestinatari:
		r.d.Destinatari = append(r.d.Destinatari, party{value, r.esterno})
	case elRicezione:
		r.d.Ricezione = append(r.d.Ricezione, value)
	default:
		r.values[e] = value
	}
	return nil
}

// document applies what the rules demand of the values.
func (r *daticertReader) document() (*daticert, error) {
	v, d := &r.values, &r.d
	d.Tipo, d.Errore, d.Mittente, d.Oggetto, d.Gestore = r.tipo, cmp.Or(r.errore, "nessuno"), v[elMittente], v[elOggetto], v[elGestore]
	d.ID, d.MsgID, d.Consegna, d.Esteso = unbracket(v[elID]), v[elMsgID], v[elConsegna], v[elEsteso]
	switch {
	case !slices.Contains(tipi, d.Tipo):
		return nil, unreadableTipo
	case d.ID == "" || len(d.ID) > maxIdentifier:
		return nil, unreadableID
	case d.Mittente == "" || len(d.MsgID) > maxIdentifier:
		return nil, unreadableField
	case d.Consegna == "" && (d.Tipo == tipoConsegna || d.Tipo == tipoErrore || d.Tipo == tipoPreavviso):
		return nil, unreadableField // then nobody can tell whom it is about
	}
	var ok bool
	if d.Data, ok = instant(v[elGiorno], v[elOra], r.zona); !ok {
		return nil, unreadableDate
	}
	return d, nil
}

// instant reads "21/11/2026", "10:30:00" and "+0100".
func instant(giorno, ora, zona string) (time.Time, bool) {
	n := func(s string, at int) int { return int(s[at]-'0')*10 + int(s[at+1]-'0') }
	if !shaped(giorno, "00/00/0000") || !shaped(ora, "00:00:00") || len(zona) != 5 || !shaped(zona[1:], "0000") || zona[0] != '+' && zona[0] != '-' {
		return time.Time{}, false
	}
	day, month, year := n(giorno, 0), n(giorno, 3), n(giorno, 6)*100+n(giorno, 8)
	hour, minute, second := n(ora, 0), n(ora, 3), n(ora, 6)
	offset := n(zona, 1)*3600 + n(zona, 3)*60
	if zona[0] == '-' {
		offset = -offset
	}
	if hour > 23 || minute > 59 || second > 59 || n(zona, 1) > 14 || n(zona, 3) > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.FixedZone("", offset))
	return t, t.Day() == day && int(t.Month()) == month && t.Year() == year // no 31st of November
}

// shaped compares with a pattern in which 0 is any digit.
func shaped(s, pattern string) bool {
	if len(s) != len(pattern) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; pattern[i] == '0' && (c < '0' || c > '9') || pattern[i] != '0' && c != pattern[i] {
			return false
		}
	}
	return true
}

// unbracket trims blanks and one pair of angle brackets around a message identifier.
func unbracket(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	return strings.TrimSpace(s)
}

var enhancedCode = regexp.MustCompile(`^[245]\.[0-9]{1,3}\.[0-9]{1,3}`)

// explains tells whether the document is one of those that say what went wrong.
func (d *daticert) explains() bool {
	return d.Tipo == tipoRifiuto || d.Tipo == tipoErrore || d.Tipo == tipoPreavviso || d.Tipo == tipoVirus
}

// cause maps what a document says went wrong. Both fields only explain; the type has decided.
func (d *daticert) cause() (reason, code string) {
	code = enhancedCode.FindString(d.Esteso)
	switch {
	case d.Tipo == tipoPreavviso: // whatever it carries besides, it says that time ran out
		reason = delivery.ReasonTimeout
	case d.Errore == erroreVirus:
		reason = delivery.ReasonVirus
	case d.Errore == "no-dest", code == "5.1.1":
		reason = delivery.ReasonUnknownMailbox
	case d.Errore == "no-dominio", code == "5.1.2":
		reason = delivery.ReasonUnknownDomain
	case code == "5.2.2":
		reason = delivery.ReasonMailboxFull
	case code == "5.2.3", code == "5.3.4":
		reason = delivery.ReasonTooBig
	default:
		reason = delivery.ReasonOther
	}
	return reason, code
}

// address reads an address of the document; one that is none becomes the zero Address, which equals nobody's.
func address(s string) contracts.Address {
	a, err := contracts.ParseAddress(unbracket(s))
	if err != nil {
		return contracts.Address{}
	}
	return a
}
