package evidence

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// Bounds of what is taken out of a receipt; a real one has a document of 2 KiB and a signature of 6.
const (
	maxOpened = 8 << 20 // bytes of a receipt that is opened
	maxInside = 1 << 20 // bytes of what is taken out
	maxParts  = 20
)

// An inner is a part of a receipt as a file of its own, for people: the proof is the whole receipt.
type inner struct {
	ext   string // xml, p7s
	bytes []byte
}

// inside takes the documents and the signature out of a signed receipt: the XML children of the signed part and the second
// part (RFC 1847). At most one of each; what cannot be taken out is left inside.
func inside(raw []byte) (found []inner) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil || len(raw) > maxOpened {
		return nil
	}
	whole := children(textproto.MIMEHeader(m.Header), m.Body, "multipart/signed")
	for i := range whole {
		switch i {
		case 0:
			for _, c := range children(whole[0].header, bytes.NewReader(whole[0].body), "multipart/mixed") {
				if kind, _ := c.kind(); kind == "application/xml" || kind == "text/xml" {
					found = c.take(found, "xml")
				}
			}
		case 1:
			if kind, _ := whole[1].kind(); kind == "application/pkcs7-signature" || kind == "application/x-pkcs7-signature" {
				found = whole[1].take(found, "p7s")
			}
		}
	}
	return found
}

type entity struct {
	header textproto.MIMEHeader
	body   []byte
}

func (e entity) kind() (string, map[string]string) {
	kind, params, err := mime.ParseMediaType(e.header.Get("Content-Type"))
	if err != nil {
		return "", nil
	}
	return kind, params
}

// children splits an entity of a kind.
func children(header textproto.MIMEHeader, body io.Reader, kind string) (all []entity) {
	have, params := entity{header: header}.kind()
	if have != kind || params["boundary"] == "" {
		return nil
	}
	parts := multipart.NewReader(body, params["boundary"])
	for len(all) < maxParts {
		p, err := parts.NextRawPart()
		if err != nil {
			return all
		}
		b, err := io.ReadAll(p) // of a receipt that is bounded
		if err != nil {
			return all
		}
		all = append(all, entity{p.Header, b})
	}
	return all
}

// take decodes the entity, and adds it unless there is one already.
func (e entity) take(found []inner, ext string) []inner {
	for _, f := range found {
		if f.ext == ext {
			return found
		}
	}
	var r io.Reader = bytes.NewReader(e.body)
	switch strings.ToLower(textproto.TrimString(e.header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxInside+1))
	if err != nil || len(b) == 0 || len(b) > maxInside {
		return found
	}
	return append(found, inner{ext, b})
}
