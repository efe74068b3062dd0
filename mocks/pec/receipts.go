package pec

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// transported is the original as it travels and as receipts give it back: the provider's identifier in place of the
// client's Message-ID, which moves to X-Riferimento-Message-ID, under a Received line of the access point.
func transported(s *submission, raw []byte, zone *time.Location) []byte {
	p := providers()[s.Provider]
	h, body := splitMessage(raw)
	var b bytes.Buffer
	fmt.Fprintf(&b, "Received: from client.%s (client.%s [192.0.2.20])\r\n\tby smtps.%s with ESMTPSA id %s;\r\n\t%s\r\n",
		domainOf(s.Account), domainOf(s.Account), p.domain, token(s.ID), s.At.In(zone).Format(time.RFC1123Z))
	for _, f := range h {
		switch strings.ToLower(f.name) {
		case "message-id", "x-riferimento-message-id", "return-path", "bcc":
			continue
		}
		b.Write(f.raw)
		if !bytes.HasSuffix(f.raw, []byte("\n")) {
			b.WriteString("\r\n")
		}
	}
	fmt.Fprintf(&b, "Message-ID: <%s>\r\n", s.ID)
	if s.MessageID != "" {
		fmt.Fprintf(&b, "X-Riferimento-Message-ID: %s\r\n", s.MessageID)
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// stamp is the sentence that dates every text: day, time and zone as people in Italy write them.
func stamp(at time.Time) string {
	return at.Format("Il giorno 02/01/2006 alle ore 15:04:05 (-0700)")
}

// text says the document in Italian, for people.
func (d document) text() string {
	m := d.message
	var b strings.Builder
	subject := fmt.Sprintf("%q proveniente da %q", m.Subject, m.Account)
	switch d.kind {
	case Acceptance:
		fmt.Fprintf(&b, "Ricevuta di accettazione\n\n%s il messaggio\n%s\ned indirizzato a:\n", stamp(d.at), subject)
		for _, r := range m.Recipients {
			kind := "posta certificata"
			if r.Ordinary {
				kind = "posta ordinaria"
			}
			fmt.Fprintf(&b, "%s (%q)\n", r.Address, kind)
		}
		b.WriteString("è stato accettato dal sistema ed inoltrato.\n")
	case NonAcceptance:
		fmt.Fprintf(&b, "Avviso di non accettazione\n\n%s nel messaggio\n%s\nè stato rilevato un problema che ne impedisce l'accettazione:\n%s\n", stamp(d.at), subject, d.detail)
	case Delivery:
		fmt.Fprintf(&b, "Ricevuta di avvenuta consegna (%s)\n\n%s il messaggio\n%s\ne destinato all'utente %q\nè stato consegnato nella casella di destinazione.\n", d.receipt, stamp(d.at), subject, d.recipient)
	case Transport:
		fmt.Fprintf(&b, "Messaggio di posta certificata\n\n%s il messaggio\n%s\nè stato inviato; l'originale è allegato.\n", stamp(d.at), subject)
	case TakingCharge:
		fmt.Fprintf(&b, "Ricevuta di presa in carico\n\n%s il messaggio\n%s\nè stato preso in carico.\n", stamp(d.at), subject)
	default:
		fmt.Fprintf(&b, "Avviso\n\n%s nel messaggio\n%s\ne destinato all'utente %q\nè stato rilevato un problema:\n%s\n", stamp(d.at), subject, d.recipient, d.detail)
	}
	fmt.Fprintf(&b, "Identificativo messaggio: %s\n", m.ID)
	return b.String()
}
