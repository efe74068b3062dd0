package entrate

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/beevik/etree"
)

// A node is an element of an answer: text, or elements.
type node struct {
	local, text string
	kids        []node
}

func leaf(local, text string) node { return node{local: local, text: text} }

// answerTo is the answer to a request that says codes alone.
func answerTo(request *etree.Element, c Codes) (space string, n node) {
	return request.NamespaceURI(), node{local: request.Tag + "Resp", kids: []node{
		leaf("dettaglioEsito", c.Dettaglio), leaf("codiceRitorno", c.Ritorno),
	}}
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func (n node) write(b *strings.Builder, prefix, declaration string) {
	fmt.Fprintf(b, "<%s%s%s>%s", prefix, n.local, declaration, escaper.Replace(n.text))
	for _, k := range n.kids {
		k.write(b, prefix, "")
	}
	fmt.Fprintf(b, "</%s%s>", prefix, n.local)
}

// answer writes an element of a namespace in the shape of the day.
func (c *call) answer(space string, n node) {
	var b strings.Builder
	if c.shape == Prefixed {
		n.write(&b, "ns2:", "")
	} else {
		n.write(&b, "", ` xmlns="`+space+`"`)
	}
	c.send(http.StatusOK, b.String(), space)
}

// fault writes a Fault; detail is XML.
func (c *call) fault(status int, code, reason, detail string) {
	prefix := c.prefix()
	b := "<" + prefix + ":Fault><faultcode>" + prefix + ":" + code + "</faultcode><faultstring>" + reason + "</faultstring>"
	if detail != "" {
		b += "<detail>" + detail + "</detail>"
	}
	c.send(status, b+"</"+prefix+":Fault>", "")
}

// gatewayFault is an error of GovWay in front of a SOAP service: a problem document inside a Fault.
func (c *call) gatewayFault(status, problem int, name string) {
	h := c.w.Header()
	h.Set("GovWay-Transaction-ID", c.m.names.UUID())
	h.Set("GovWay-Transaction-ErrorType", name)
	who := "Server"
	if problem < http.StatusInternalServerError {
		who = "Client"
	}
	c.fault(status, who, detail(name), fmt.Sprintf(`<problem xmlns="urn:ietf:rfc:7807"><type>https://govway.org/handling-errors/%d/%s.html</type>`+
		`<title>%s</title><status>%d</status><detail>%s</detail><govway_id>%s</govway_id></problem>`,
		problem, name, name, problem, detail(name), h.Get("GovWay-Transaction-ID")))
}

func (c *call) prefix() string {
	if c.shape == Prefixed {
		return "S"
	}
	return "soapenv"
}

// send puts the content of a Body into an envelope and writes it.
func (c *call) send(status int, content, space string) {
	p, head, declared := c.prefix(), "", ""
	switch {
	case c.shape == Prefixed && space != "":
		declared, head = ` xmlns:ns2="`+space+`"`, "<S:Header/>"
	case c.shape == Huge:
		head = "<soapenv:Header><r:riempimento xmlns:r=\"urn:raccordo:prova\">" + strings.Repeat("raccordo. ", 1<<20) + "</r:riempimento></soapenv:Header>"
	}
	envelope := "<" + p + `:Envelope xmlns:` + p + `="` + nsEnvelope + `"` + declared + ">" + head +
		"<" + p + ":Body>" + content + "</" + p + ":Body></" + p + ":Envelope>"
	charset := "UTF-8"
	switch c.shape {
	case Twice:
		envelope = strings.Replace(envelope, content, content+content, 1)
	case Latin1:
		charset = "ISO-8859-1"
		envelope = `<?xml version="1.0" encoding="ISO-8859-1"?><!-- verifica già registrata -->` + envelope
	case Prefixed:
		envelope = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n" + envelope
	case TwoRoots:
		envelope += "\n" + envelope
	case Doctype:
		envelope = `<!DOCTYPE soapenv:Envelope [<!ENTITY esito "00">]>` + strings.Replace(envelope, ">00<", ">&esito;<", 1)
	case Page:
		page(c.w, http.StatusOK)
		return
	case Empty:
		envelope = ""
	}
	c.w.Header().Set("Content-Type", "text/xml; charset="+charset)
	c.w.WriteHeader(status)
	c.w.Write(encoded(envelope, charset))
}

// encoded writes a text that has no letter beyond Latin 1.
func encoded(s, charset string) []byte {
	if charset == "UTF-8" {
		return []byte(s)
	}
	out := make([]byte, 0, len(s))
	for _, r := range s {
		out = append(out, byte(r))
	}
	return out
}

// page is what a web server in front says when it says nothing.
func page(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><head><title>%d</title></head><body><h1>Servizio dell'Agenzia</h1></body></html>", status)
}
