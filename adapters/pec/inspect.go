package pec

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"log/slog"
	"slices"
	"time"

	"raccordo/contracts"
)

// An Inspection is what one message file says of itself and how far it can be believed. Its JSON is in full; printed
// otherwise it is masked like everything else.
type Inspection struct {
	File           string            `json:"file"`
	Tipo           string            `json:"tipo"`         // by the document; empty: it has none that can be read
	Errore         string            `json:"errore"`       // nessuno, no-dest, no-dominio, virus, altro
	MsgID          string            `json:"msgid"`        // of the message it is about, as the document writes it
	HeaderMsgID    string            `json:"header_msgid"` // the same by the unsigned header (X-Riferimento-Message-ID)
	Identificativo string            `json:"identificativo"`
	Mittente       contracts.Private `json:"mittente"`
	Destinatari    []Party           `json:"destinatari"`
	Consegna       contracts.Private `json:"consegna"` // the one recipient it is about
	Gestore        string            `json:"gestore"`  // the provider that issued it
	Data           string            `json:"data"`     // RFC 3339, in the document's own zone
	Ricevuta       string            `json:"ricevuta"` // completa, breve, sintetica
	Verdict        Verdict           `json:"verdict"`
	Signer         string            `json:"signer"` // the certificate's address
	// Reason is, in one word, why delivery failed by the document (UNKNOWN_MAILBOX and the like); where it tells of no
	// failure, why the verdict is not VALID or the message no plain receipt.
	Reason    string   `json:"reason"`
	Anomalies []string `json:"anomalies"` // all that is odd, in words; empty, never null
}

// A Party is one line of a document's list of recipients.
type Party struct {
	Address contracts.Private `json:"address"`
	Tipo    string            `json:"tipo"` // certificato, esterno
}

// LogValue masks in logs.
func (i Inspection) LogValue() slog.Value { return contracts.LogText(i) }

// Believed reports whether the file is a message that may move a ticket, were it about one.
func (i Inspection) Believed() bool {
	return i.Verdict.Counts() && i.Tipo != "" && !slices.Contains(i.Anomalies, ReasonMismatch)
}

const reasonBare = "BARE_DOCUMENT" // a daticert.xml without the message that it came in

// Inspect reads one message file as the adapter would, with no configuration: a whole message, with line ends of the wire
// or bare ones, or a daticert.xml alone. The certificates are judged by roots at an instant (zero: now); without roots
// nobody is believed, and the verdict is not VALID. It never fails: what cannot be read has a verdict and a reason.
func Inspect(file []byte, roots *x509.CertPool, at time.Time) Inspection {
	if at.IsZero() {
		at = time.Now()
	}
	if looksLikeXML(file) {
		return inspectDocument(file)
	}
	if bytes.HasPrefix(file, []byte("From ")) { // the line that mbox files put before a message
		_, file, _ = bytes.Cut(file, []byte{'\n'})
	}
	r := reader{roots: roots}
	o, err := open(file)
	p := r.prove(&o, at)
	i := Inspection{Verdict: p.verdict, Signer: p.signer, HeaderMsgID: o.root.get("x-riferimento-message-id")}
	i.describe(o.daticert)
	marker := mark(o.root)
	var why unreadable
	var odd string
	switch {
	case o.daticert != nil && contradicts(&o, marker):
		odd = ReasonMismatch
	case o.daticert != nil:
	case marker.anomaly:
		odd = ReasonAnomalyEnv
	case marker.tipo == "" && errors.Is(err, noDaticert):
		odd = ReasonOrdinary
	case errors.As(err, &why):
		odd = string(why)
	}
	i.note(odd, p.doubt)
	i.note(p.notes...)
	if o.daticert != nil {
		i.note(o.oddities()...)
	}
	i.Reason = cmp.Or(i.Reason, odd, p.doubt)
	return i
}

// Oversize is the Inspection of a file that is too large to be read.
func Oversize() Inspection {
	return Inspection{Verdict: Unverifiable, Reason: ReasonOversize, Anomalies: []string{ReasonOversize}, Destinatari: []Party{}}
}

func inspectDocument(file []byte) Inspection {
	i := Inspection{Verdict: Unsigned}
	doc, err := readDaticert(file)
	i.describe(doc)
	var why unreadable
	if errors.As(err, &why) {
		i.Verdict = Malformed
		i.note(string(why))
	}
	i.note(reasonBare)
	i.Reason = cmp.Or(i.Reason, string(why), reasonBare)
	return i
}

// looksLikeXML tells a document from a message: no header field begins so.
func looksLikeXML(file []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(file[:min(len(file), 1024)], []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("<"))
}

func (i *Inspection) note(words ...string) {
	for _, w := range words {
		if w != "" {
			i.Anomalies = append(i.Anomalies, w)
		}
	}
}

func (i *Inspection) describe(doc *daticert) {
	i.Anomalies, i.Destinatari = []string{}, []Party{}
	if doc == nil {
		return
	}
	i.Tipo, i.Errore, i.MsgID, i.Identificativo = doc.Tipo, doc.Errore, doc.MsgID, doc.ID
	i.Mittente, i.Consegna = contracts.NewPrivate(doc.Mittente), contracts.NewPrivate(doc.Consegna)
	i.Gestore, i.Ricevuta, i.Data = doc.Gestore, doc.Ricevuta, doc.Data.Format(time.RFC3339)
	for _, d := range doc.Destinatari {
		tipo := "certificato"
		if d.esterno {
			tipo = "esterno"
		}
		i.Destinatari = append(i.Destinatari, Party{contracts.NewPrivate(d.address), tipo})
	}
	if doc.explains() {
		i.Reason, _ = doc.cause()
	}
}
