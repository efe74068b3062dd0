package pec

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// everyKind fills a bench with one message of each kind that can be in a mailbox, and gives them by name.
func everyKind(t *testing.T, opts ...Option) (*Mock, map[string][]byte) {
	t.Helper()
	b, m := bench(t, opts...)
	c := dial(t, b, m)
	to := []string{
		"rossi@pec.cittadini.test", "nodest@pec.cittadini.test", "full@pec.studi.test", "virus@pec.studi.test",
		"timeout24@pec.studi.test", "chi@altrove.test", "persona@posta.test",
	}
	for _, tc := range []struct {
		to    []string
		extra []string
	}{
		{to, nil},
		{[]string{"bianchi@pec.studi.test"}, []string{"X-TipoRicevuta: breve"}},
		{[]string{"verdi@pec.studi.test"}, []string{"X-TipoRicevuta: sintetica"}},
		{[]string{"noaccept@pec.studi.test"}, nil},
		{[]string{"noacceptvirus@pec.studi.test"}, nil},
		{[]string{sender}, nil}, // to itself: also the transport envelope comes back
	} {
		if err := submit(c, sender, tc.to, text("a@x", tc.to, tc.extra...)); err != nil {
			t.Fatal(err)
		}
	}
	b.Advance(48 * time.Hour)
	id := m.Accepted()[0].Identificativo
	for _, kind := range []Kind{TakingCharge, VirusFound} {
		if err := m.Issue(Extra{Identificativo: id, Kind: kind, Recipient: "rossi@pec.cittadini.test", Code: "5.7.1", Text: "prova"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.DeliverAnomaly(sender, []byte("From: daemon@posta.test\nSubject: Undelivered: perché\n\nsorry\n")); err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	for _, raw := range inboxOf(t, b, m.Accounts()[0]) {
		r := open(t, raw)
		name := fmt.Sprintf("%s %s %s", r.cert.Tipo, r.cert.Errore, r.cert.Dati.Ricevuta.Tipo)
		if r.xml == nil {
			name = "anomaly"
		}
		name = strings.TrimSpace(name)
		if strings.HasPrefix(r.cert.Dati.Esteso, "5.4.1") {
			name += " 24h"
		}
		out[name] = raw
	}
	return m, out
}

// catalogue is every row of the rules that a mailbox can show.
func catalogue() []string {
	return []string{
		"accettazione nessuno", "non-accettazione altro", "non-accettazione virus", "presa-in-carico nessuno",
		"avvenuta-consegna nessuno completa", "avvenuta-consegna nessuno breve", "avvenuta-consegna nessuno sintetica",
		"errore-consegna no-dest", "errore-consegna no-dominio", "errore-consegna virus", "errore-consegna altro",
		"preavviso-errore-consegna altro", "preavviso-errore-consegna altro 24h",
		"rilevazione-virus virus", "posta-certificata nessuno completa", "anomaly",
	}
}

func TestTheWholeCatalogueCanBeSeen(t *testing.T) {
	_, all := everyKind(t)
	for _, name := range catalogue() {
		if all[name] == nil {
			t.Errorf("no %s among %d", name, len(all))
		}
	}
	subjects := map[string]string{
		"accettazione nessuno":               "ACCETTAZIONE: ",
		"non-accettazione altro":             "AVVISO DI NON ACCETTAZIONE: ",
		"non-accettazione virus":             "AVVISO DI NON ACCETTAZIONE PER VIRUS: ",
		"avvenuta-consegna nessuno completa": "CONSEGNA: ",
		"errore-consegna no-dest":            "AVVISO DI MANCATA CONSEGNA: ",
		"errore-consegna virus":              "AVVISO DI MANCATA CONSEGNA PER VIRUS: ",
		"preavviso-errore-consegna altro":    "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: ",
		"posta-certificata nessuno completa": "POSTA CERTIFICATA: ",
	}
	for name, prefix := range subjects {
		h := open(t, all[name]).header
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		if err != nil || subject != prefix+"Notifica n. 42 è urgente" {
			t.Errorf("%s: subject %q, %v", name, subject, err)
		}
		if virus := strings.Contains(name, "virus"); virus != (h.Get("X-VerificaSicurezza") == "errore") {
			t.Errorf("%s: X-VerificaSicurezza %q", name, h.Get("X-VerificaSicurezza"))
		}
	}
}

func TestWhoSignsWhat(t *testing.T) {
	m, all := everyKind(t)
	for name, domain := range map[string]string{
		"accettazione nessuno":               "gestore-uno.test",
		"non-accettazione altro":             "gestore-uno.test",
		"preavviso-errore-consegna altro":    "gestore-uno.test",
		"errore-consegna no-dominio":         "gestore-uno.test",
		"errore-consegna virus":              "gestore-uno.test",
		"avvenuta-consegna nessuno breve":    "gestore-due.test",
		"errore-consegna no-dest":            "gestore-due.test",
		"errore-consegna altro":              "gestore-due.test",
		"posta-certificata nessuno completa": "gestore-uno.test",
	} {
		want := "posta-certificata@" + domain
		from, err := mail.ParseAddress(open(t, all[name]).header.Get("From"))
		if err != nil || from.Address != want {
			t.Errorf("%s: from %v, want %s", name, from, want)
		}
		p7, err := verify(t, all[name], m.RootsPEM(), time.Time{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		leaf := p7.GetOnlySigner()
		if got := leaf.EmailAddresses; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: the certificate names %v, want %s", name, got, want)
		}
		if leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}) || leaf.BasicConstraintsValid {
			t.Errorf("%s: the certificate has not the profile of the rules", name)
		}
	}
}

// verify checks a receipt with the library that clients use: the bytes between the boundaries as they stand.
func verify(t *testing.T, raw, roots []byte, at time.Time) (*pkcs7.PKCS7, error) {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	_, parts, _, ok := splitParts(body, params["boundary"])
	if !ok || len(parts) != 2 {
		t.Fatalf("%d parts under multipart/signed", len(parts))
	}
	h, sig := splitMessage(parts[1])
	p7, err := pkcs7.Parse(decodeBody(h, sig))
	if err != nil {
		return nil, err
	}
	p7.Content = parts[0]
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	if at.IsZero() {
		return p7, p7.VerifyWithChain(pool)
	}
	return p7, p7.VerifyWithChainAtTime(pool, at)
}

func TestTheSignatureIsDatedByTheBench(t *testing.T) {
	m, all := everyKind(t)
	p7, err := verify(t, all["accettazione nessuno"], m.RootsPEM(), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var at time.Time
	if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &at); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC); !at.Equal(want) {
		t.Errorf("signing time %s, want %s", at, want)
	}
}

// opensslVerify runs the oracle on a whole e-mail file.
func opensslVerify(t *testing.T, raw, roots []byte) error {
	t.Helper()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	dir := t.TempDir()
	eml, ca := filepath.Join(dir, "x.eml"), filepath.Join(dir, "roots.pem")
	for name, data := range map[string][]byte{eml: raw, ca: roots} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), tool, "cms", "-verify", "-in", eml, "-CAfile", ca, "-purpose", "smimesign", "-out", os.DevNull).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func TestOpenSSLAcceptsEveryKind(t *testing.T) {
	m, all := everyKind(t)
	for name, raw := range all {
		if err := opensslVerify(t, raw, m.RootsPEM()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenSSLRefusesWhatWasAltered(t *testing.T) {
	b, m := bench(t)
	c := dial(t, b, m)
	if err := b.Misbehave("bad-signature", 1); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"bad@x", "good@x"} {
		to := []string{"rossi@pec.cittadini.test"}
		if err := submit(c, sender, to, text(id, to)); err != nil {
			t.Fatal(err)
		}
	}
	b.Advance(time.Minute)
	for i, raw := range inboxOf(t, b, m.Accounts()[0]) {
		r := open(t, raw)
		bad := r.cert.Dati.MsgID == "<bad@x>"
		if err := opensslVerify(t, raw, m.RootsPEM()); (err != nil) != bad {
			t.Errorf("message %d (%s of %s): openssl says %v", i, r.cert.Tipo, r.cert.Dati.MsgID, err)
		}
		if _, err := verify(t, raw, m.RootsPEM(), time.Time{}); (err != nil) != bad {
			t.Errorf("message %d (%s of %s): pkcs7 says %v", i, r.cert.Tipo, r.cert.Dati.MsgID, err)
		}
	}
}

func TestCertificateVariants(t *testing.T) {
	receipt := func(t *testing.T, c Certificate) (*Mock, []byte) {
		b, m := bench(t, WithCertificate(c))
		send(t, b, m, "a@x", "rossi@pec.cittadini.test")
		return m, inboxOf(t, b, m.Accounts()[0])[0]
	}
	for _, c := range []Certificate{Sound, SHA1} {
		t.Run(string(c), func(t *testing.T) {
			m, raw := receipt(t, c)
			if err := opensslVerify(t, raw, m.RootsPEM()); err != nil {
				t.Error(err)
			}
			if _, err := verify(t, raw, m.RootsPEM(), time.Time{}); err != nil {
				t.Error(err)
			}
			if micalg := strings.Contains(string(raw), `micalg="sha1"`); micalg != (c == SHA1) {
				t.Error("micalg does not tell the digest")
			}
		})
	}
	for _, c := range []Certificate{Expired, UnknownCA} {
		t.Run(string(c), func(t *testing.T) {
			m, raw := receipt(t, c)
			if err := opensslVerify(t, raw, m.RootsPEM()); err == nil {
				t.Error("openssl accepts it")
			}
			if _, err := verify(t, raw, m.RootsPEM(), time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)); err == nil {
				t.Error("pkcs7 accepts it")
			}
		})
	}
	t.Run(string(WrongEKU), func(t *testing.T) {
		m, raw := receipt(t, WrongEKU)
		if err := opensslVerify(t, raw, m.RootsPEM()); err == nil {
			t.Error("openssl accepts it for mail")
		}
		p7, err := verify(t, raw, m.RootsPEM(), time.Time{})
		if err != nil || slices.Contains(p7.GetOnlySigner().ExtKeyUsage, x509.ExtKeyUsageEmailProtection) {
			t.Errorf("only the usage must be wrong: %v", err)
		}
	})
	t.Run(string(WrongSAN), func(t *testing.T) {
		m, raw := receipt(t, WrongSAN)
		p7, err := verify(t, raw, m.RootsPEM(), time.Time{})
		if err != nil || p7.GetOnlySigner().EmailAddresses[0] != "posta-certificata@gestore-due.test" {
			t.Errorf("only the name must be wrong: %v", err)
		}
		if err := opensslVerify(t, raw, m.RootsPEM()); err != nil {
			t.Errorf("only the name must be wrong: %v", err)
		}
	})
	for variant, policies := range map[Certificate]int{Sound: 1, NoPolicy: 0} {
		t.Run("the policy of "+string(variant), func(t *testing.T) {
			m, raw := receipt(t, variant)
			p7, err := verify(t, raw, m.RootsPEM(), time.Time{})
			if err != nil || len(p7.GetOnlySigner().Policies) != policies {
				t.Errorf("%d policies, want %d: %v", len(p7.GetOnlySigner().Policies), policies, err)
			}
		})
	}
	t.Run("an unknown variant", func(t *testing.T) {
		if err := New().SetCertificate("gold"); err == nil {
			t.Error("was taken")
		}
	})
}

func TestQuirksChangeTheFormAndNotTheMeaning(t *testing.T) {
	for name, q := range map[string]Quirks{
		"no preamble": {NoPreamble: true}, "swapped parts": {SwapParts: true}, "unquoted": {Unquoted: true}, "folded": {Folded: true},
		"bare text": {BareText: true}, "date comment": {DateComment: true}, "extra headers": {ExtraHeaders: true},
		"no reply-to": {NoReplyTo: true}, "only failed": {OnlyFailed: true}, "ber": {BER: true}, "bad accents": {BadAccents: true},
		"all": {NoPreamble: true, SwapParts: true, Unquoted: true, Folded: true, BareText: true, DateComment: true, ExtraHeaders: true, NoReplyTo: true, OldNoDest: true, OnlyFailed: true, BER: true, EncodedHashes: true, BadAccents: true},
	} {
		t.Run(name, func(t *testing.T) {
			m, all := everyKind(t, WithQuirks(q))
			for kind, raw := range all {
				if _, err := verify(t, raw, m.RootsPEM(), time.Time{}); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
			const complete = "avvenuta-consegna nessuno completa" // the oracle on one of each form: a process is dear
			if err := opensslVerify(t, all[complete], m.RootsPEM()); err != nil {
				t.Errorf("%s: %v", complete, err)
			}
			if !bytes.Contains(open(t, all[complete]).original, []byte("Buongiorno.")) {
				t.Error("no complete delivery with its original")
			}
		})
	}
}

// grammar finds xmllint and the grammar of daticert.xml.
func grammar(t *testing.T) (tool, dtd string) {
	t.Helper()
	shared := os.Getenv("RACCORDO_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	dtd = filepath.Join(shared, "reference", "pec", "postacert.dtd")
	if _, err := os.Stat(dtd); err != nil {
		t.Skip("no reference folder: set RACCORDO_SHARED to check daticert.xml by its grammar")
	}
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (Debian: libxml2-utils)")
	}
	return tool, dtd
}

// TestEveryStorysDaticertIsValidByTheGrammar: and those whose names nobody knows are not.
func TestEveryStorysDaticertIsValidByTheGrammar(t *testing.T) {
	tool, dtd := grammar(t)
	b, m := bench(t)
	c := dial(t, b, m)
	for _, s := range Stories() {
		if s.Scope == OnWire || s.Scope == OfMailbox || s.Name == "huge" {
			continue
		}
		to := []string{s.Name + "@pec.cittadini.test", "rossi@pec.studi.test"}
		if err := submit(c, sender, to, text(s.Name+"@x", to)); err != nil {
			t.Fatal(err)
		}
	}
	b.Advance(48 * time.Hour)
	dir := t.TempDir()
	args := []string{"--noout", "--dtdvalid", dtd}
	bad := make(map[string]string)
	for i, raw := range inboxOf(t, b, m.Accounts()[0]) {
		r := open(t, raw)
		name := filepath.Join(dir, fmt.Sprintf("%03d.xml", i))
		if err := os.WriteFile(name, r.xml, 0o600); err != nil {
			t.Fatal(err)
		}
		if r.cert.Tipo == "consegna-dubbia" || r.cert.Errore == "mistero" {
			bad[name] = r.cert.Tipo
			continue
		}
		args = append(args, name)
	}
	if len(args) < 100 || len(bad) != 2 {
		t.Errorf("%d documents, %d that nobody knows", len(args)-3, len(bad))
	}
	if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for name, tipo := range bad {
		if err := exec.CommandContext(t.Context(), tool, "--noout", "--dtdvalid", dtd, name).Run(); err == nil {
			t.Errorf("the grammar knows %s", tipo)
		}
	}
}

func TestDaticertIsValidByTheGrammar(t *testing.T) {
	tool, dtd := grammar(t)
	for name, opts := range map[string][]Option{"plain": nil, "quirky": {WithQuirks(Quirks{NoReplyTo: true, OnlyFailed: true, OldNoDest: true})}} {
		t.Run(name, func(t *testing.T) {
			_, all := everyKind(t, opts...)
			for kind, raw := range all {
				r := open(t, raw)
				if kind == "anomaly" {
					if r.xml != nil {
						t.Error("an anomaly envelope has a daticert.xml")
					}
					continue
				}
				if out, err := xmllint(t, tool, dtd, r.xml); err != nil {
					t.Errorf("%s: %v: %s", kind, err, out)
				}
				broken := bytes.Replace(r.xml, []byte("<identificativo>"), []byte("<x/><identificativo>"), 1)
				if _, err := xmllint(t, tool, dtd, broken); err == nil {
					t.Errorf("%s: the grammar accepts anything", kind)
				}
			}
		})
	}
}

func xmllint(t *testing.T, tool, dtd string, doc []byte) ([]byte, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "daticert.xml")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), tool, "--noout", "--dtdvalid", dtd, file).CombinedOutput()
}

func TestOnePartIsSignedAndTheOtherIsTheSignature(t *testing.T) {
	_, all := everyKind(t)
	for name, raw := range all {
		msg, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		r := multipart.NewReader(msg.Body, params["boundary"])
		var kinds []string
		for p, err := r.NextRawPart(); err == nil; p, err = r.NextRawPart() {
			kind, _, _ := strings.Cut(p.Header.Get("Content-Type"), ";")
			kinds = append(kinds, kind)
		}
		if !slices.Equal(kinds, []string{"multipart/mixed", "application/x-pkcs7-signature"}) {
			t.Errorf("%s: parts %v", name, kinds)
		}
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 998 || bytes.ContainsAny(line, "\r\n") {
				t.Errorf("%s: a line of %d bytes", name, len(line))
			}
		}
	}
}

func TestTheRootsAreACertificateAndNothingElse(t *testing.T) {
	_, m := bench(t)
	block, rest := pem.Decode(m.RootsPEM())
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Error("roots are not one certificate")
	}
}
