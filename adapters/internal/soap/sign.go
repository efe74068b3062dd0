package soap

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/beevik/etree"
)

const (
	tokenX509   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"          //nolint:gosec // an identifier
	tokenBase64 = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary" //nolint:gosec // an identifier
	instant     = "2006-01-02T15:04:05.000Z"
)

// A Signer puts a WS-Security header on requests: a Timestamp, the certificate as a BinarySecurityToken, and a signature
// with detached references to Body, Timestamp, token and header blocks, in the order ModI's patterns have them.
type Signer struct {
	// Key is an RSA key (RSA-SHA256) or one on a NIST curve (ECDSA with the hash of its size).
	Key crypto.Signer
	// Certificate is sent along. It must fit the key.
	Certificate *x509.Certificate
	// Life is how long after Created the Timestamp expires; zero: 5 minutes.
	Life time.Duration
	// Blocks lists the header blocks to sign, as Options.Headers writes them (WS-Addressing's, commonly). Each must be
	// there once.
	Blocks []xml.Name
}

// Check says what is wrong with the Signer, for whoever opens it; nil: nothing.
func (s *Signer) Check() error {
	if s.Key == nil || s.Certificate == nil {
		return errors.New("want a key and its certificate")
	}
	if _, _, err := methodFor(s.Key.Public()); err != nil {
		return err
	}
	public, ok := s.Key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(s.Certificate.PublicKey) {
		return errors.New("the certificate is not the key's")
	}
	return nil
}

// envelope writes a signed envelope. Every signed part goes out in its canonical form, so that the bytes that were
// digested are the bytes that are sent.
func (s *Signer) envelope(now time.Time, blocks, body []byte) ([]byte, error) {
	method, hash, err := methodFor(s.Key.Public())
	if err != nil {
		return nil, err
	}
	life := s.Life
	if life == 0 {
		life = 5 * time.Minute
	}
	ids := newNaming()
	signed := make([]Reference, 0, 3+len(s.Blocks))
	refer := func(id string, part []byte) {
		signed = append(signed, Reference{id, exclusive, digestSHA256, sum(crypto.SHA256, part)})
	}

	bodyID, timeID, tokenID := ids.next(), ids.next(), ids.next()
	part, err := s.body(bodyID, body)
	if err != nil {
		return nil, err
	}
	refer(bodyID, part)
	timestamp := `<wsu:Timestamp xmlns:wsu="` + NSUtility + `" wsu:Id="` + timeID + `"><wsu:Created>` + now.UTC().Format(instant) +
		`</wsu:Created><wsu:Expires>` + now.Add(life).UTC().Format(instant) + `</wsu:Expires></wsu:Timestamp>`
	refer(timeID, []byte(timestamp))
	token := `<wsse:BinarySecurityToken xmlns:wsse="` + NSSecurity + `" xmlns:wsu="` + NSUtility + `" EncodingType="` + tokenBase64 +
		`" ValueType="` + tokenX509 + `" wsu:Id="` + tokenID + `">` + base64.StdEncoding.EncodeToString(s.Certificate.Raw) +
		`</wsse:BinarySecurityToken>`
	refer(tokenID, []byte(token))
	if len(s.Blocks) > 0 {
		if blocks, err = s.blocks(blocks, ids, refer); err != nil {
			return nil, err
		}
	}

	info := SignedInfo(method, signed...)
	value, err := s.Key.Sign(rand.Reader, sum(hash, info), hash)
	if err != nil {
		return nil, errors.New("the key does not sign")
	}
	if k, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		if value, err = fixed(k, value); err != nil {
			return nil, err
		}
	}

	out := bytes.NewBuffer(make([]byte, 0, len(part)+len(blocks)+len(token)+len(info)+2048))
	out.WriteString(declaration + envelopeHead + `<soap:Header>`)
	out.Write(blocks)
	out.WriteString(`<wsse:Security xmlns:wsse="` + NSSecurity + `" soap:mustUnderstand="1">`)
	out.WriteString(timestamp)
	out.WriteString(token)
	out.WriteString(`<ds:Signature xmlns:ds="` + NSSignature + `">`)
	out.Write(info)
	out.WriteString(`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) +
		`</ds:SignatureValue><ds:KeyInfo><wsse:SecurityTokenReference><wsse:Reference URI="#` + tokenID + `" ValueType="` + tokenX509 +
		`"></wsse:Reference></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature></wsse:Security></soap:Header>`)
	out.Write(part)
	out.WriteString(`</soap:Envelope>`)
	return out.Bytes(), nil
}

var exclusive = []string{ExclusiveC14N}

// body makes the canonical Body of what gowsdl wrote behind the Body's start tag.
func (s *Signer) body(id string, rest []byte) ([]byte, error) {
	text := make([]byte, 0, len(rest)+300)
	text = append(text, envelopeHead+`<soap:Body xmlns:wsu="`+NSUtility+`" wsu:Id="`+id+`">`...)
	text = append(text, rest...)
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil || doc.Root() == nil || len(doc.Root().Child) != 1 {
		return nil, errors.New("gowsdl's envelope cannot be read")
	}
	return Canonical(doc.Root().ChildElements()[0])
}

// blocks writes those header blocks that are signed in their canonical form and with an Id, the others as they are.
func (s *Signer) blocks(text []byte, ids *naming, refer func(id string, part []byte)) ([]byte, error) {
	signed := map[xml.Name]bool{}
	var out []byte
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		from := d.InputOffset()
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("the header blocks cannot be read")
		}
		el, ok := t.(xml.StartElement)
		if !ok {
			continue
		}
		if d.Skip() != nil {
			return nil, errors.New("the header blocks cannot be read")
		}
		block := text[from:d.InputOffset()]
		if !slices.Contains(s.Blocks, el.Name) {
			out = append(out, block...)
			continue
		}
		if signed[el.Name] {
			return nil, errors.New("a header block to be signed is there twice")
		}
		signed[el.Name] = true
		id := ids.next()
		if block, err = identified(block, id); err != nil {
			return nil, err
		}
		refer(id, block)
		out = append(out, block...)
	}
	if len(signed) != len(s.Blocks) {
		return nil, errors.New("a header block to be signed is not there")
	}
	return out, nil
}

// identified gives a block its Id, and its canonical form.
func identified(block []byte, id string) ([]byte, error) {
	doc := etree.NewDocument()
	if doc.ReadFromBytes(block) != nil || doc.Root() == nil {
		return nil, errors.New("a header block cannot be read")
	}
	el := doc.Root()
	for _, a := range slices.Clone(el.Attr) {
		switch {
		case a.Key == "Id" && a.NamespaceURI() == NSUtility:
			el.RemoveAttr(a.FullKey())
		case a.Space == "xmlns" && a.Key == "wsu" && a.Value != NSUtility:
			return nil, errors.New("a header block gives the prefix wsu another meaning")
		}
	}
	el.CreateAttr("xmlns:wsu", NSUtility)
	el.CreateAttr("wsu:Id", id)
	return Canonical(el)
}

// A naming gives Ids that no other message has.
type naming struct {
	stem string
	n    byte
}

func newNaming() *naming {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return &naming{stem: "id-" + hex.EncodeToString(b[:]) + "-"}
}

func (i *naming) next() string {
	i.n++
	return i.stem + string(rune('a'+i.n-1))
}
