package pec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
)

// maxDepth bounds the nesting of a submitted message that a short receipt looks into; deeper parts stay whole.
const maxDepth = 16

// shorten makes the form of the original that a "breve" delivery receipt carries: the structure stays, and each part that
// has a file name, and each attached message, is replaced by a text part with the SHA-1 of its content. A pkcs7-mime part
// is left whole and the signature of a signed original stays where it is (RFC 6109, short delivery receipt).
//
// The rule leaves open whether the decoded content or its encoded text is hashed; encoded chooses the second.
func shorten(raw []byte, encoded bool) []byte { return shortenPart(raw, encoded, 0, true) }

func shortenPart(raw []byte, encoded bool, depth int, top bool) []byte {
	h, body := splitMessage(raw)
	kind, params := mediaType(h)
	switch {
	case kind == "application/pkcs7-mime" || kind == "application/x-pkcs7-mime":
		return raw
	case kind == "application/pkcs7-signature" || kind == "application/x-pkcs7-signature":
		return raw
	case strings.HasPrefix(kind, "multipart/") && depth < maxDepth:
		return shortenMultipart(raw, body, params["boundary"], encoded, depth)
	case top:
		return raw
	case fileName(h) != "" || kind == "message/rfc822":
		return hashPart(h, body, encoded)
	}
	return raw
}

func shortenMultipart(raw, body []byte, boundary string, encoded bool, depth int) []byte {
	before, parts, delims, ok := splitParts(body, boundary)
	if !ok {
		return raw
	}
	var out bytes.Buffer
	out.Write(raw[:len(raw)-len(body)])
	out.Write(before)
	for i, part := range parts {
		out.Write(delims[i])
		out.Write(shortenPart(part, encoded, depth+1, false))
		out.WriteString("\r\n")
	}
	out.Write(delims[len(delims)-1])
	return out.Bytes()
}

func hashPart(h header, body []byte, encoded bool) []byte {
	name := fileName(h)
	if name == "" {
		name = "messaggio.eml"
	}
	if !encoded {
		body = decodeBody(h, body)
	}
	sum := sha1.Sum(body)
	quoted := mime.QEncoding.Encode("utf-8", name+".hash")
	return fmt.Appendf(nil, "Content-Type: text/plain; charset=\"us-ascii\"; name=%q\r\n"+
		"Content-Transfer-Encoding: 7bit\r\nContent-Disposition: attachment; filename=%q\r\n\r\n%s\r\n",
		quoted, quoted, hex.EncodeToString(sum[:]))
}

// decodeBody undoes the transfer encoding as far as it is sound.
func decodeBody(h header, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(h.get("Content-Transfer-Encoding")) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body))
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	default:
		return body
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return body
	}
	return out
}
