package pec

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Limits are what an access point takes. Above MaxMessage the wire itself refuses (552); above MaxProduct the message is
// taken and answered with a non-acceptance, as a real provider does.
type Limits struct {
	MaxMessage    int64 // bytes of one encoded message: the SIZE that EHLO tells
	MaxProduct    int64 // bytes times recipients
	MaxRecipients int
	MaxAccepted   int   // messages ever taken; beyond it the answer is 452
	MaxLog        int64 // bytes of the log file; beyond it the answer is 452
}

// DefaultLimits are those of a large provider: 100 MB for size times recipients, 500 recipients.
func DefaultLimits() Limits {
	return Limits{MaxMessage: 64 << 20, MaxProduct: 100_000_000, MaxRecipients: 500, MaxAccepted: 1_000_000, MaxLog: 16 << 30}
}

// A refusal is why an access point does not accept: the reason and detail of the notice, and the rule in words.
type refusal struct {
	reason Reason
	code   string
	text   string
	rule   string
}

// blocked are the extensions that providers commonly refuse outright.
func blocked() []string {
	return []string{".exe", ".js", ".bat", ".cmd", ".com", ".jar", ".lnk", ".msi", ".ps1", ".reg", ".scr", ".vbs"}
}

// check applies the formal checks of an access point (RFC 6109, section on the access point) in their order.
func check(account, reversePath string, paths []string, h header, body []byte, size int64, lim Limits) (refusal, bool) {
	no := func(code, text, rule string) (refusal, bool) {
		return refusal{reason: Other, code: code, text: text, rule: rule}, false
	}
	from := h.all("From")
	senders, err := addresses(from)
	if len(from) != 1 || err != nil || len(senders) != 1 {
		return no("5.6.0", "mittente assente o non valido", "exactly one valid address in From")
	}
	to, err := addresses(h.all("To"))
	if err != nil || len(to) == 0 {
		return no("5.6.0", "destinatario assente o non valido", "at least one valid address in To")
	}
	if !strings.EqualFold(reversePath, senders[0]) {
		return no("5.6.0", "mittente del protocollo diverso da quello del messaggio", "reverse path equals From")
	}
	if !strings.EqualFold(reversePath, account) {
		return no("5.7.1", "mittente diverso dalla casella autenticata", "reverse path equals the authenticated mailbox")
	}
	cc, err := addresses(h.all("Cc"))
	if err != nil {
		return no("5.6.0", "destinatario in copia non valido", "valid addresses in Cc")
	}
	if !sameAddresses(paths, append(slices.Clone(to), cc...)) {
		return no("5.6.0", "destinatari del protocollo diversi da quelli del messaggio", "forward paths equal To and Cc")
	}
	for _, v := range h.all("Bcc") {
		if v != "" {
			return no("5.6.0", "destinatari in copia nascosta non ammessi", "no Bcc")
		}
	}
	if size*int64(len(paths)) > lim.MaxProduct {
		return no("5.3.4", "dimensione per numero di destinatari oltre il limite", "size times recipients within the limit")
	}
	if name := forbidden(h, body, 0); name != "" {
		return no("5.7.1", "allegato di tipo non ammesso", "no attachment of a blocked kind")
	}
	return refusal{}, true
}

func sameAddresses(a, b []string) bool { return slices.Equal(addressSet(a), addressSet(b)) }

func addressSet(list []string) []string {
	out := make([]string, 0, len(list))
	for _, a := range list {
		out = append(out, strings.ToLower(a))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// forbidden finds the first attachment of a blocked kind.
func forbidden(h header, body []byte, depth int) string {
	if name := fileName(h); slices.Contains(blocked(), strings.ToLower(filepath.Ext(name))) {
		return name
	}
	kind, params := mediaType(h)
	if !strings.HasPrefix(kind, "multipart/") || depth >= maxDepth {
		return ""
	}
	_, parts, _, _ := splitParts(body, params["boundary"])
	for _, part := range parts {
		inner, content := splitMessage(part)
		if name := forbidden(inner, content, depth+1); name != "" {
			return name
		}
	}
	return ""
}

// receiptWanted reads X-TipoRicevuta; anything but the two shorter forms is the complete one.
func receiptWanted(h header) string {
	switch v := strings.ToLower(h.get("X-TipoRicevuta")); v {
	case "breve", "sintetica":
		return v
	}
	return "completa"
}

// recipientsOf classifies the forward paths. An unknown domain counts as certified until delivery fails.
func recipientsOf(paths []string, h header) []recipient {
	to, _ := addresses(h.all("To"))
	inTo := addressSet(to)
	var out []recipient
	for _, p := range paths {
		if slices.ContainsFunc(out, func(r recipient) bool { return strings.EqualFold(r.Address, p) }) {
			continue
		}
		out = append(out, recipient{
			Address:  p,
			Copy:     !slices.Contains(inTo, strings.ToLower(p)),
			Ordinary: domainOf(p) == OrdinaryDomain,
		})
	}
	return out
}

// detail writes errore-esteso as providers do: code, who says so, text.
func detail(code string, by provider, text string) string {
	return fmt.Sprintf("%s - %s - %s", code, by.name, text)
}
