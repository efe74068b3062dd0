package entrate

import (
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/beevik/etree"

	"raccordo/mocks/lab"
)

// An operation is an element that a SOAP service takes, and the action that may name it.
type operation struct {
	element name
	action  string
}

// A call is a request that has passed the door: whose it is and what it asks.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	m     *Mock
	body  *etree.Element
	asked Asked
	shape Shape
}

// soap is the door of the SOAP services: the client's certificate, one envelope, one known operation, one assertion that
// holds. deny answers what is not authorised in the words of the operation.
func (m *Mock) soap(work func(*call), operations ...operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: w, r: r, m: m, shape: m.Settings().Shape}
		if f, ok := lab.FaultOf(r.Context()); ok && c.commanded(f) {
			return
		}
		if rule := m.checkClient(r); rule != "" {
			lab.Refused(r.Context(), rule)
			w.Header().Set("X-Lab-Reason", rule)
			page(w, http.StatusForbidden)
			return
		}
		security, rule := c.open(operations)
		if rule != "" {
			c.refuse(rule)
			return
		}
		assertion, rule := assertionIn(security)
		if rule != "" {
			c.refuse(rule)
			return
		}
		if rule := m.checkAssertion(assertion, &c.asked); rule != "" {
			lab.Parsed(r.Context(), c.asked)
			if m.Settings().SecurityFaults {
				c.refuse(rule)
				return
			}
			c.reject(rule)
			c.answer(answerTo(c.body, Codes{"01", "XX04"}))
			return
		}
		work(c)
	}
}

// checkClient wants the certificate that was agreed, on the connection itself.
func (m *Mock) checkClient(r *http.Request) string {
	switch {
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0:
		return "mutual TLS: no client certificate"
	case !r.TLS.PeerCertificates[0].Equal(m.clientCert):
		return "mutual TLS: not the certificate that was agreed"
	}
	return ""
}

// open reads the envelope, and gives its header.
func (c *call) open(operations []operation) (header *etree.Element, rule string) {
	t, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || t != "text/xml" {
		return nil, "content type: want text/xml"
	}
	if set := params["charset"]; set != "" && !strings.EqualFold(set, "utf-8") {
		return nil, "content type: want UTF-8"
	}
	raw, err := io.ReadAll(c.r.Body)
	if err != nil {
		return nil, "envelope: cannot be read"
	}
	root, rule := parse(raw)
	if rule != "" {
		return nil, rule
	}
	if !is(root, name{nsEnvelope, "Envelope"}) {
		return nil, "envelope: want an Envelope of SOAP 1.1"
	}
	parts := root.ChildElements()
	if len(parts) != 2 || !is(parts[0], name{nsEnvelope, "Header"}) || !is(parts[1], name{nsEnvelope, "Body"}) {
		return nil, "envelope: want one Header, then one Body"
	}
	payload := parts[1].ChildElements()
	if len(payload) != 1 {
		return nil, "body: want one element"
	}
	c.body = payload[0]
	for _, o := range operations {
		if is(c.body, o.element) {
			return parts[0], actionRule(c.r, o.action)
		}
	}
	return nil, "body: not an element of this service, in its namespace"
}

// actionRule takes a SOAPAction that is missing, empty, or names the operation, in quotes or not.
func actionRule(r *http.Request, action string) string {
	values := r.Header.Values("SOAPAction")
	if len(values) > 1 {
		return "SOAPAction: more than once"
	}
	for _, v := range values {
		if bare, quoted := strings.CutPrefix(v, `"`); quoted {
			v = strings.TrimSuffix(bare, `"`)
		}
		if v != "" && v != action {
			return "SOAPAction: another operation's"
		}
	}
	return ""
}

// reject tells the journal which rule was broken.
func (c *call) reject(rule string) {
	lab.Refused(c.r.Context(), rule)
	c.w.Header().Set("X-Lab-Reason", rule)
}

// refuse answers a Fault that blames the client.
func (c *call) refuse(rule string) {
	c.reject(rule)
	c.fault(http.StatusInternalServerError, "Client", "Richiesta non conforme", "")
}

// commanded does a misdeed that the bench left to the mock; true when the answer was written.
func (c *call) commanded(f lab.Fault) bool {
	status := f.Status
	switch f.Do {
	case lab.Status:
	case lab.StaleVoucher:
		status = http.StatusUnauthorized
	case lab.Throttle:
		status = http.StatusTooManyRequests
		c.m.comeBack(c.w, 2*time.Second)
	default:
		return false
	}
	switch {
	case f.Body != nil:
		c.w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		c.w.WriteHeader(status)
		c.w.Write(f.Body)
	case status == http.StatusInternalServerError:
		c.fault(status, "Server", "Errore interno", "")
	default:
		c.gatewayFault(status, status, errorName(status))
	}
	return true
}

// troubled plays a member's story at the door; true when the answer was written.
func (c *call) troubled(t tale, service, code string) bool {
	if t.shape != Default {
		c.shape = t.shape
	}
	if t.status == 0 && !t.slow {
		return false
	}
	turn := c.m.turn(service, code)
	switch {
	case t.slow && turn == 1:
		lab.Pause(c.r.Context(), c.m.bench, c.m.Settings().Slow)
		return false
	case t.slow, t.times > 0 && turn > t.times:
		return false
	case t.name != "":
		c.gatewayFault(http.StatusInternalServerError, t.status, t.name)
	default:
		c.fault(t.status, "Server", "Servizio non disponibile: riprovare più tardi", "")
	}
	return true
}
