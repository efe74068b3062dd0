package pec

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/encoding/charmap"

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

var tipi = []string{tipoAccettazione, tipoRifiuto, tipoPresaInCarico, tipoConsegna, tipoBusta, tipoErrore, tipoPreavviso, tipoVirus}

const (
	maxDaticert = 1 << 20 // bytes
	maxDepth    = 16      // elements within elements
	maxElements = 4000    // 500 recipients are quoted as the most that providers allow
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
	Data         time.Time
	ID           string // identificativo, without angle brackets
	MsgID        string // without angle brackets; empty when the client sent none
	Ricevuta     string // completa, breve, sintetica
	Consegna     string // the one recipient this document is about
	Ricezione    []string
	Esteso       string // errore-esteso
}

type party struct {
	address string
	esterno bool
}

// readDaticert reads a document strictly in what it says and tolerantly in how: any order, unknown elements, blanks, a
// byte order mark and a DOCTYPE (never resolved) are accepted.
func readDaticert(b []byte) (*daticert, error) {
	if len(b) > maxDaticert {
		return nil, unreadableXML
	}
	r := &daticertReader{single: map[string]string{}}
	if err := r.read(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))); err != nil {
		return nil, err
	}
	return r.document()
}

type daticertReader struct {
	tipo, errore  string
	single        map[string]string // path -> text of elements that stand once
	destinatari   []party
	ricezione     []string
	zona, formato string
}

// listed are the elements that may stand more than once.
func listed(path string) bool {
	return path == "intestazione/destinatari" || path == "dati/ricezione"
}

func known(path string) bool {
	switch path {
	case "intestazione/mittente", "intestazione/risposte", "intestazione/oggetto", "dati/gestore-emittente", "dati/data/giorno",
		"dati/data/ora", "dati/data", "dati/identificativo", "dati/msgid", "dati/ricevuta", "dati/consegna", "dati/errore-esteso":
		return true
	}
	return listed(path)
}

func (r *daticertReader) read(b []byte) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = charset
	var path []string
	var text strings.Builder
	var attr string
	elements := 0
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if len(path) > 0 || elements == 0 {
				return unreadableXML
			}
			return nil
		}
		if err != nil {
			return unreadableXML
		}
		switch t := token.(type) {
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(t), []byte("<!ENTITY")) {
				return unreadableEntity
			}
		case xml.StartElement:
			elements++
			if elements > maxElements || len(path) == maxDepth || (len(path) == 0 && elements > 1) {
				return unreadableXML
			}
			if elements == 1 {
				if t.Name.Local != "postacert" {
					return unreadableXML
				}
				r.tipo, r.errore = attribute(t, "tipo"), attribute(t, "errore")
			}
			path = append(path, t.Name.Local)
			text.Reset()
			attr = ""
			switch strings.Join(path[1:], "/") {
			case "intestazione/destinatari":
				attr = attribute(t, "tipo")
			case "dati/data":
				r.zona = attribute(t, "zona")
			case "dati/ricevuta":
				r.formato = attribute(t, "tipo")
			}
		case xml.CharData:
			if len(path) == 0 && len(bytes.TrimSpace(t)) > 0 {
				return unreadableXML
			}
			text.Write(t)
		case xml.EndElement:
			if len(path) == 0 || path[len(path)-1] != t.Name.Local {
				return unreadableXML // RawToken does not match ends with starts
			}
			if err := r.element(strings.Join(path[1:], "/"), strings.TrimSpace(text.String()), attr); err != nil {
				return err
			}
			path = path[:len(path)-1]
			text.Reset()
		}
	}
}

func (r *daticertReader) element(path, text, attr string) error {
	switch {
	case !known(path):
		return nil
	case path == "intestazione/destinatari":
		r.destinatari = append(r.destinatari, party{text, attr == "esterno"})
		return nil
	case path == "dati/ricezione":
		r.ricezione = append(r.ricezione, text)
		return nil
	}
	if _, twice := r.single[path]; twice {
		if path == "dati/identificativo" {
			return unreadableID
		}
		return unreadableField
	}
	r.single[path] = text
	return nil
}

func (r *daticertReader) document() (*daticert, error) {
	s := r.single
	d := &daticert{
		Tipo: r.tipo, Errore: r.errore, Mittente: s["intestazione/mittente"], Destinatari: r.destinatari,
		Oggetto: s["intestazione/oggetto"], Gestore: s["dati/gestore-emittente"], ID: unbracket(s["dati/identificativo"]),
		MsgID: unbracket(s["dati/msgid"]), Ricevuta: r.formato, Consegna: s["dati/consegna"], Ricezione: r.ricezione,
		Esteso: s["dati/errore-esteso"],
	}
	if d.Errore == "" {
		d.Errore = "nessuno"
	}
	if !slices.Contains(tipi, d.Tipo) {
		return nil, unreadableTipo
	}
	if d.ID == "" {
		return nil, unreadableID
	}
	var err error
	if d.Data, err = time.Parse("02/01/2006 15:04:05 -0700", fmt.Sprintf("%s %s %s", s["dati/data/giorno"], s["dati/data/ora"], r.zona)); err != nil {
		return nil, unreadableDate
	}
	switch d.Tipo {
	case tipoConsegna, tipoErrore, tipoPreavviso:
		if d.Consegna == "" { // then nobody can tell whom it is about
			return nil, unreadableField
		}
	}
	if d.Mittente == "" {
		return nil, unreadableField
	}
	return d, nil
}

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// charset reads the two encodings that old documents declare besides UTF-8.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "utf8":
		return in, nil
	case "iso-8859-1", "latin1":
		return charmap.ISO8859_1.NewDecoder().Reader(in), nil
	case "windows-1252":
		return charmap.Windows1252.NewDecoder().Reader(in), nil
	}
	return nil, unreadableXML
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

// cause maps what a document says went wrong. Both fields only explain; the type has decided.
func (d *daticert) cause() (reason, code string) {
	code = enhancedCode.FindString(d.Esteso)
	switch {
	case d.Tipo == tipoPreavviso: // whatever it carries besides, it says that time ran out
		reason = delivery.ReasonTimeout
	case d.Errore == "virus":
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
