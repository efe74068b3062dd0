package pec

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"html"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Quirks are ways in which real providers' receipts differ while being right. The zero value is the plain form.
type Quirks struct {
	NoPreamble    bool // no text before the first boundary
	SwapParts     bool // postacert.eml before daticert.xml
	Unquoted      bool // file names and micalg as in 2026 samples: without quotes
	Folded        bool // as in 2026 samples: micalg and the signature's name bare, the line broken after a trailing space
	BareText      bool // one text/plain part instead of the alternative
	DateComment   bool // "Date: … +0100 (CET)"
	ExtraHeaders  bool // X-REM-Subject and other fields to be ignored
	NoReplyTo     bool // risposte is empty
	OldNoDest     bool // an unknown mailbox is "altro" with 5.1.1 instead of "no-dest"
	OnlyFailed    bool // errors list only the recipient that failed
	BER           bool // the signature has indefinite lengths
	EncodedHashes bool // breve: hash of the encoded text instead of the decoded content
	BadAccents    bool // the text part holds broken accents, and must not matter
}

// A sheet is one generated message before it is rendered.
type sheet struct {
	doc      document
	id       string // its own Message-ID, without brackets
	to       []string
	from     string // the whole From; empty: the issuer's
	replyTo  string
	subject  string // the original's, decoded
	text     string
	original []byte // postacert.eml; nil for none
}

// prefix is the beginning of the subject, exact.
func (d document) prefix() string {
	virus := d.reason == Virus
	switch d.shown() {
	case Acceptance:
		return "ACCETTAZIONE: "
	case NonAcceptance:
		if virus {
			return "AVVISO DI NON ACCETTAZIONE PER VIRUS: "
		}
		return "AVVISO DI NON ACCETTAZIONE: "
	case TakingCharge:
		return "PRESA IN CARICO: "
	case Delivery:
		return "CONSEGNA: "
	case DeliveryError:
		if virus {
			return "AVVISO DI MANCATA CONSEGNA PER VIRUS: "
		}
		return "AVVISO DI MANCATA CONSEGNA: "
	case Notice:
		return "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "
	case VirusFound:
		return "PROBLEMA DI SICUREZZA: "
	case Transport:
		return "POSTA CERTIFICATA: "
	}
	return "ANOMALIA MESSAGGIO: "
}

// markers are the fields that sort generated mail at a glance. They are outside the signature.
func (d document) markers() []string {
	var out []string
	shown := d.shown()
	switch shown {
	case Transport:
		out = append(out, "X-Trasporto: posta-certificata", "X-TipoRicevuta: "+d.receipt)
	case Anomaly:
		return []string{"X-Trasporto: errore"}
	default:
		out = append(out, "X-Ricevuta: "+string(shown))
	}
	if d.reason == Virus && (shown == NonAcceptance || shown == DeliveryError) {
		out = append(out, "X-VerificaSicurezza: errore")
	}
	if d.kind == VirusFound {
		out = append(out, "X-Mittente: "+d.message.Account)
	}
	if d.message.MessageID != "" && !d.noReference {
		out = append(out, "X-Riferimento-Message-ID: "+d.message.MessageID)
	}
	return out
}

// render writes and signs the message.
func (s sheet) render(by *signer, how shape) ([]byte, error) {
	digest, micalg, q := crypto.SHA256, "sha-256", how.quirks
	if how.certificate == SHA1 {
		digest, micalg = crypto.SHA1, "sha1"
	}
	signed := s.mixed(q)
	if how.spoil == "unsigned" {
		var b bytes.Buffer
		s.head(&b, q)
		b.WriteString("MIME-Version: 1.0\r\n")
		b.Write(signed)
		return b.Bytes(), nil
	}
	at := s.doc.at
	if how.certificate == ValidAtSigning {
		at = by.leaf.NotAfter.AddDate(0, 0, -1)
	}
	p7s, err := signDetached(signed, by, at, digest, q.BER)
	if err != nil {
		return nil, fmt.Errorf("pec: sign receipt: %w", err)
	}
	switch how.spoil {
	case "altered":
		s.doc = s.doc.betrayed()
		signed = s.mixed(q)
	case "badsig":
		p7s[len(p7s)-walk(q.BER)] ^= 1
	}
	var b bytes.Buffer
	boundary := s.boundary("firma")
	s.head(&b, q)
	s.signedType(&b, q, micalg, boundary)
	if !q.NoPreamble {
		article := "an"
		if q.Folded {
			article = "a" // both are on the wire
		}
		fmt.Fprintf(&b, "This is %s S/MIME signed message\r\n", article)
	}
	fmt.Fprintf(&b, "--%s\r\n", boundary)
	b.Write(signed)
	fmt.Fprintf(&b, "\r\n--%s\r\n", boundary)
	name := `"smime.p7s"`
	if q.Unquoted || q.Folded {
		name = "smime.p7s"
	}
	fmt.Fprintf(&b, "Content-Type: application/%spkcs7-signature; name=%s\r\n", s.legacy(q), name)
	fmt.Fprintf(&b, "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=%s\r\n", name)
	b.WriteString("Content-Description: S/MIME Cryptographic Signature\r\n\r\n")
	writeBase64(&b, p7s)
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return b.Bytes(), nil
}

// walk is how far from its end a byte of the signature's value lies: it is the last thing in the structure, before the
// ends of the indefinite lengths.
func walk(ber bool) int {
	if ber {
		return 6 + 8
	}
	return 8
}

// betrayed is a document changed for the better of whoever changed it: still well formed, and not what was signed.
func (d document) betrayed() document {
	switch d.kind {
	case DeliveryError, Notice:
		d.tipo, d.reason, d.detail = string(Delivery), NoError, ""
	case NonAcceptance:
		d.tipo, d.reason, d.detail = string(Acceptance), NoError, ""
	default:
		d.at = d.at.Add(time.Second)
	}
	return d
}

// legacy: both names of the signature's type are on the wire; the plain form uses the older.
func (s sheet) legacy(q Quirks) string {
	if q.Unquoted || q.Folded {
		return ""
	}
	return "x-"
}

func (s sheet) head(b *bytes.Buffer, q Quirks) {
	p := s.doc.issuer
	from := s.from
	if from == "" {
		from = p.from()
	}
	fmt.Fprintf(b, "Return-Path: <%s>\r\n", p.from())
	fmt.Fprintf(b, "Received: from ricevute.%s (ricevute.%s [192.0.2.%d])\r\n\tby %s with LMTP id %s;\r\n\t%s\r\n",
		p.domain, p.domain, p.index+1, domainOf(s.to[0]), token(s.id), s.doc.at.Format(time.RFC1123Z))
	date := s.doc.at.Format(time.RFC1123Z)
	if q.DateComment {
		date += s.doc.at.Format(" (MST)")
	}
	fmt.Fprintf(b, "Date: %s\r\nFrom: %s\r\nTo: %s\r\n", date, from, strings.Join(s.to, ",\r\n\t"))
	if s.replyTo != "" {
		fmt.Fprintf(b, "Reply-To: %s\r\n", s.replyTo)
	}
	fmt.Fprintf(b, "Message-ID: <%s>\r\n", s.id)
	fmt.Fprintf(b, "Subject: %s\r\n", foldedWords(s.doc.prefix()+s.subject))
	for _, m := range s.doc.markers() {
		fmt.Fprintf(b, "%s\r\n", m)
	}
	if q.ExtraHeaders {
		if s.doc.kind == Acceptance {
			fmt.Fprintf(b, "X-REM-Subject: %s\r\n", foldedWords("REM SubmissionAcceptance: "+s.subject))
		}
		fmt.Fprintf(b, "X-Lmtp-Aru-Notify-Rcpt: %s\r\nX-MLTR-Uuid: %s\r\n", s.to[0], token(s.id))
	}
}

// signedType writes the type of the whole, and ends the header.
func (s sheet) signedType(b *bytes.Buffer, q Quirks, micalg, boundary string) {
	if !q.Unquoted && !q.Folded {
		micalg = `"` + micalg + `"`
	}
	before, after := "\r\n ", " "
	if q.Folded {
		before, after = " ", " \r\n\t"
	}
	fmt.Fprintf(b, "MIME-Version: 1.0\r\nContent-Type: multipart/signed; protocol=\"application/%spkcs7-signature\";%smicalg=%s;%sboundary=\"%s\"\r\n\r\n",
		s.legacy(q), before, micalg, after, boundary)
}

// mixed writes the bytes that are signed.
func (s sheet) mixed(q Quirks) []byte {
	var b bytes.Buffer
	boundary := s.boundary("parti")
	fmt.Fprintf(&b, "Content-Type: multipart/mixed;\r\n boundary=\"%s\"\r\n\r\n", boundary)
	parts := [][]byte{s.human(q)}
	var cert, original []byte
	if s.doc.kind != Anomaly {
		cert = s.certificatePart(q)
	}
	if s.original != nil {
		original = s.originalPart(q)
	}
	if q.SwapParts {
		parts = append(parts, original, cert)
	} else {
		parts = append(parts, cert, original)
	}
	for _, part := range parts {
		if part != nil {
			fmt.Fprintf(&b, "--%s\r\n%s\r\n", boundary, part)
		}
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

func (s sheet) certificatePart(q Quirks) []byte {
	var b bytes.Buffer
	name := `"daticert.xml"`
	if q.Unquoted {
		name = "daticert.xml"
	}
	fmt.Fprintf(&b, "Content-Type: application/xml; name=%s\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=%s\r\n\r\n", name, name)
	writeBase64(&b, s.doc.daticert(q.NoReplyTo))
	return b.Bytes()
}

func (s sheet) originalPart(q Quirks) []byte {
	name, encoding := `"postacert.eml"`, "7bit"
	if q.Unquoted {
		name = "postacert.eml"
	}
	for _, c := range s.original {
		if c >= 0x80 {
			encoding = "8bit"
			break
		}
	}
	return append(fmt.Appendf(nil, "Content-Type: message/rfc822; name=%s\r\nContent-Transfer-Encoding: %s\r\nContent-Disposition: inline; filename=%s\r\n\r\n", name, encoding, name), s.original...)
}

// human is the part for people; programs must not read it.
func (s sheet) human(q Quirks) []byte {
	text := s.text
	if q.BadAccents {
		text = strings.ReplaceAll(text, "è", "\u00ef\u00bf\u00bd") // the bytes of U+FFFD, taken for ISO-8859-1
	}
	plain := textPart("text/plain", text)
	if q.BareText {
		return plain
	}
	page := "<html><body><pre>" + html.EscapeString(text) + "</pre></body></html>\n"
	boundary := s.boundary("testo")
	return fmt.Appendf(nil, "Content-Type: multipart/alternative;\r\n boundary=\"%s\"\r\n\r\n--%s\r\n%s\r\n--%s\r\n%s\r\n--%s--\r\n",
		boundary, boundary, plain, boundary, textPart("text/html", page), boundary)
}

func textPart(kind, text string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: %s; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Disposition: inline\r\n\r\n", kind)
	w := quotedprintable.NewWriter(&b)
	latin := make([]byte, 0, len(text))
	for _, r := range text {
		if r > 0xff {
			r = '?'
		}
		latin = append(latin, byte(r))
	}
	_, _ = w.Write(latin) // a bytes.Buffer never fails
	_ = w.Close()
	return b.Bytes()
}

// boundary shares its beginning with those of the other levels, as real ones do.
func (s sheet) boundary(level string) string {
	return fmt.Sprintf("----=_Part_%s.%s", token(s.id), level)
}

// token makes a header-safe word of an identifier.
func token(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, id)
}

func writeBase64(b *bytes.Buffer, data []byte) {
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 0 {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
}

// foldedWords encodes a subject and folds it; plain ASCII is folded at spaces, so that no line is too long for SMTP.
func foldedWords(text string) string {
	text = strings.NewReplacer("\r", " ", "\n", " ", "\x00", "").Replace(text)
	words := strings.Split(mime.QEncoding.Encode("utf-8", text), " ")
	var b strings.Builder
	line := 0
	for i, w := range words {
		if i > 0 {
			if line+len(w) > 64 && w != "" {
				b.WriteString("\r\n")
				line = 0
			}
			b.WriteByte(' ')
		}
		b.WriteString(w)
		line += len(w) + 1
	}
	return b.String()
}
