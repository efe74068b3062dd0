package pec

import (
	"encoding/xml"
	"strings"
	"time"
)

// A Kind is one row of the catalogue: what a mailbox can hold.
type Kind string

const (
	Acceptance    Kind = "accettazione"
	NonAcceptance Kind = "non-accettazione"
	TakingCharge  Kind = "presa-in-carico" // goes to the other provider; only [Mock.Issue] puts one in a mailbox
	Delivery      Kind = "avvenuta-consegna"
	DeliveryError Kind = "errore-consegna"
	Notice        Kind = "preavviso-errore-consegna" // after 12 hours, and again after 24
	VirusFound    Kind = "rilevazione-virus"         // goes to the other provider; only [Mock.Issue] puts one in a mailbox
	Transport     Kind = "posta-certificata"
	Anomaly       Kind = "anomalia" // has no daticert; only [Mock.DeliverAnomaly] makes one
)

// A Reason is the errore attribute of daticert.xml.
type Reason string

const (
	NoError   Reason = "nessuno"
	NoMailbox Reason = "no-dest"
	NoDomain  Reason = "no-dominio"
	Virus     Reason = "virus"
	Other     Reason = "altro"
)

// A document is what one daticert.xml says.
type document struct {
	kind      Kind
	reason    Reason
	detail    string // errore-esteso
	issuer    provider
	at        time.Time // in Rome's zone
	message   *submission
	recipient string   // the one that consegna names
	received  []string // ricezione, for taking charge
	receipt   string   // completa, breve, sintetica
	only      bool     // list only the failed recipient, as seen at providers

	tipo        string // a tipo that the document has no right to; empty: its own
	dress       Kind   // what the outer header says it is; empty: what it is
	noMsgID     bool   // leave the client's Message-ID out of the XML
	noReference bool   // and out of the outer header
}

// shown is the kind that the outer header tells.
func (d document) shown() Kind {
	if d.dress != "" {
		return d.dress
	}
	return d.kind
}

// daticert writes the XML in the order of the grammar of RFC 6109 section 4.4.
func (d document) daticert(noReplyTo bool) []byte {
	var b strings.Builder
	m := d.message
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	tipo := string(d.kind)
	if d.tipo != "" {
		tipo = d.tipo
	}
	b.WriteString(`<postacert tipo="` + tipo + `" errore="` + string(d.reason) + "\">\n    <intestazione>\n")
	element(&b, 8, "mittente", m.Account)
	for _, r := range m.Recipients {
		if d.only && r.Address != d.recipient {
			continue
		}
		kind := "certificato"
		if r.Ordinary {
			kind = "esterno"
		}
		b.WriteString(`        <destinatari tipo="` + kind + `">` + escaped(r.Address) + "</destinatari>\n")
	}
	replyTo := m.ReplyTo
	if noReplyTo {
		replyTo = ""
	}
	element(&b, 8, "risposte", replyTo)
	if m.Subject != "" {
		element(&b, 8, "oggetto", m.Subject)
	}
	b.WriteString("    </intestazione>\n    <dati>\n")
	element(&b, 8, "gestore-emittente", d.issuer.name)
	b.WriteString(`        <data zona="` + d.at.Format("-0700") + "\">\n")
	element(&b, 12, "giorno", d.at.Format("02/01/2006"))
	element(&b, 12, "ora", d.at.Format("15:04:05"))
	b.WriteString("        </data>\n")
	element(&b, 8, "identificativo", m.ID)
	if m.MessageID != "" && !d.noMsgID {
		element(&b, 8, "msgid", m.MessageID)
	}
	if d.receipt != "" {
		b.WriteString(`        <ricevuta tipo="` + d.receipt + "\"/>\n")
	}
	if d.recipient != "" {
		element(&b, 8, "consegna", d.recipient)
	}
	for _, r := range d.received {
		element(&b, 8, "ricezione", r)
	}
	if d.detail != "" {
		element(&b, 8, "errore-esteso", d.detail)
	}
	b.WriteString("    </dati>\n</postacert>\n")
	return []byte(b.String())
}

func element(b *strings.Builder, indent int, name, value string) {
	b.WriteString(strings.Repeat(" ", indent) + "<" + name + ">" + escaped(value) + "</" + name + ">\n")
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
