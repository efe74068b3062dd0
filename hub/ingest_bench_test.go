package hub_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"raccordo/adapters"
	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub"
	"raccordo/hub/ledger"
	"raccordo/hub/store"
	"raccordo/mocks/dovecot"
)

const (
	ingested    = 10_000 // receipts
	ingestSize  = 20 << 10
	ingestUser  = "centrale"
	ingestOther = "copia"
)

// BenchmarkIngest compares reading 10,000 signed receipts of 20 KB from a real Dovecot into a whole hub (batches over one
// IMAP connection, every signature checked with its chain, receipts folded onto 5,000 tickets: one acceptance and one
// delivery each, which settles it; raw bytes, ledger entry, ticket and cursor in commits that are forced to the disk)
// with mbsync pulling the same messages from the same server into a Maildir without forcing anything (FSync no). Both
// speak TLS, and both meet a mailbox that nobody has opened yet. At least twice as fast is wanted: run it with
// -bench=Ingest -benchtime=1x.
func BenchmarkIngest(b *testing.B) {
	mbsync, err := exec.LookPath("mbsync")
	if err != nil {
		b.Skip("mbsync is not installed (Debian: isync)")
	}
	server := dovecot.Start(b, dovecot.Options{})
	g := newIngest(b, server)
	receipts := g.receipts()
	var ours, theirs time.Duration
	for b.Loop() {
		if ours > 0 {
			b.Skip("one turn is enough: run it with -benchtime=1x")
		}
		for _, user := range []string{ingestOther, ingestUser} {
			if err := server.Deliver(user, "INBOX", receipts...); err != nil {
				b.Fatal(err)
			}
		}
		theirs += g.pull(mbsync)
		ours += g.read()
	}
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-mbsync")
	b.ReportMetric(ingested/ours.Seconds(), "receipts/s")
	b.ReportMetric(ingested/theirs.Seconds(), "mbsync-messages/s")
	b.ReportMetric(0, "ns/op")
}

// An ingest is a hub with one mailbox, whose tickets have been sent and wait.
type ingest struct {
	b       *testing.B
	dir     string
	cfg     *hub.Config
	server  *dovecot.Server
	tickets []string
	signer  signer
}

func newIngest(b *testing.B, server *dovecot.Server) *ingest {
	b.Helper()
	g := &ingest{b: b, dir: b.TempDir(), server: server, signer: newSigner(b)}
	smtp := g.sink()
	b.Setenv("INGEST_PASSWORD", dovecot.Password)
	b.Setenv("INGEST_KEY", store.NewKey())
	key, err := ledger.NewKey()
	if err != nil {
		b.Fatal(err)
	}
	b.Setenv("INGEST_LEDGER", string(key))
	file := func(name string, text []byte) string {
		path := filepath.Join(g.dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	text := fmt.Sprintf(`environment: collaudo
store: {path: %[1]q, key: "secret://env/INGEST_KEY", reserve: 0}
ledger: {key: "secret://env/INGEST_LEDGER"}
calls: {others: {places: 100, per_second: 100000, burst: 100000}}
adapters:
  pec:
    kind: pec
    roots: %[2]q
    ca: %[3]q
    mailboxes:
      - {name: centrale, role: centrale, address: ufficio@pec.ente.test, smtps: %[4]q, imaps: %[5]q, user: %[6]s, password: "secret://env/INGEST_PASSWORD", per_minute: 10000}
routes: {delivery: [pec]}
`, filepath.Join(g.dir, "hub.db"), file("roots.pem", g.signer.rootPEM), file("ca.pem", server.CA()), smtp, server.IMAPS, ingestUser)
	cfg, err := hub.Load(file("hub.yaml", []byte(text)), adapters.Kinds())
	if err != nil {
		b.Fatal(err)
	}
	g.cfg = cfg
	g.send()
	return g
}

// work runs a hub until what the function waits for has happened, and gives the time of that alone.
func (g *ingest) work(until func(ctx context.Context, h *hub.Hub)) time.Duration {
	g.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	h, err := hub.Open(ctx, g.cfg, adapters.Kinds(), hub.Options{})
	if err != nil {
		g.b.Fatal(err)
	}
	var wg sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	began := time.Now()
	wg.Go(func() {
		if err := h.Work(running); err != nil {
			g.b.Error(err)
		}
	})
	defer func() { // also when until gives up
		stop()
		wg.Wait()
		if err := h.Close(ctx); err != nil {
			g.b.Error(err)
		}
	}()
	until(ctx, h)
	return time.Since(began)
}

// every asks again and again, in real time, until the answer is yes.
func (g *ingest) every(ctx context.Context, pace time.Duration, done func() bool) {
	g.b.Helper()
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			g.b.Fatal("it takes too long")
		}
	}
}

// send leaves the messages with the hub and waits until their server has taken them.
func (g *ingest) send() {
	g.b.Helper()
	m := message(g.b, "protocollo@pec.azienda.test", "B")
	m.Secret = false
	g.work(func(ctx context.Context, h *hub.Hub) {
		turns := make(chan int)
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		g.tickets = make([]string, ingested/2)
		for range 64 {
			wg.Go(func() {
				for i := range turns {
					as := contracts.WithKey(contracts.WithCaller(ctx, contracts.Caller{Service: "core", Purpose: "activation", User: "system", Case: "B"}), fmt.Sprint(i))
					t, err := contracts.Submit(as, h, delivery.OpSend, m)
					if err != nil {
						failed.CompareAndSwap(nil, &err)
					}
					g.tickets[i] = t.ID
				}
			})
		}
		for i := range g.tickets {
			turns <- i
		}
		close(turns)
		wg.Wait()
		if err := failed.Load(); err != nil {
			g.b.Fatal(*err)
		}
		g.every(ctx, 500*time.Millisecond, func() bool { return g.count(ctx, h, contracts.StateWaiting) == len(g.tickets) })
	})
}

func (g *ingest) count(ctx context.Context, h *hub.Hub, state contracts.State) int {
	g.b.Helper()
	s, err := h.Tickets().Stats(ctx)
	if err != nil {
		g.b.Fatal(err)
	}
	return s.States[state]
}

// read runs the hub until the mailbox is read to its end.
func (g *ingest) read() time.Duration {
	g.b.Helper()
	done := 0
	took := g.work(func(ctx context.Context, h *hub.Hub) {
		g.every(ctx, 5*time.Millisecond, func() bool { return !h.Feed().Heard("pec").IsZero() })
		for _, s := range h.Feed().Stats() {
			if s.Read != ingested || s.Aside != 0 {
				g.b.Errorf("%d events, %d set aside", s.Read, s.Aside)
			}
		}
		done = g.count(ctx, h, contracts.StateDone)
	})
	if done != ingested/2 {
		g.b.Errorf("%d tickets are settled", done)
	}
	return took
}

// pull has mbsync read the other user's copy.
func (g *ingest) pull(mbsync string) time.Duration {
	g.b.Helper()
	_, port, err := net.SplitHostPort(g.server.IMAPS)
	if err != nil {
		g.b.Fatal(err)
	}
	into := filepath.Join(g.dir, "pulled") + "/"
	rc := filepath.Join(g.dir, "mbsyncrc")
	text := fmt.Sprintf(`FSync no
IMAPAccount a
Host localhost
Port %s
User %s
Pass %s
SSLType IMAPS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account a

MaildirStore near
Path %s
Inbox %sINBOX

Channel c
Far :far:INBOX
Near :near:INBOX
Sync Pull
Create Near
SyncState *
`, port, ingestOther, dovecot.Password, filepath.Join(g.dir, "ca.pem"), into, into)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		g.b.Fatal(err)
	}
	if err := os.Mkdir(into, 0o700); err != nil {
		g.b.Fatal(err)
	}
	began := time.Now()
	out, err := exec.CommandContext(context.Background(), mbsync, "-q", "-c", rc, "c").CombinedOutput()
	took := time.Since(began)
	if err != nil {
		g.b.Fatalf("mbsync: %v\n%s", err, out)
	}
	got, err := os.ReadDir(filepath.Join(into, "INBOX", "new"))
	if err != nil || len(got) != ingested {
		g.b.Fatalf("mbsync pulled %d messages, %v", len(got), err)
	}
	return took
}

// receipts forges an acceptance and a delivery for each ticket.
func (g *ingest) receipts() [][]byte {
	var wg sync.WaitGroup
	all := make([][]byte, ingested)
	turns := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range turns {
				tipo := "accettazione"
				if i >= len(g.tickets) {
					tipo = "avvenuta-consegna"
				}
				all[i] = g.signer.receipt(g.b, tipo, g.tickets[i%len(g.tickets)], i%len(g.tickets))
			}
		})
	}
	for i := range all {
		turns <- i
	}
	close(turns)
	wg.Wait()
	return all
}

// sink is a server that takes every message and keeps none.
func (g *ingest) sink() (addr string) {
	g.b.Helper()
	cert, err := g.server.Certificate()
	if err != nil {
		g.b.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		g.b.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { swallow(c) })
		}
	})
	g.b.Cleanup(func() {
		if err := l.Close(); err != nil {
			g.b.Error(err)
		}
		wg.Wait()
	})
	return l.Addr().String()
}

// swallow speaks just enough SMTP.
func swallow(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = c.Write([]byte(line + "\r\n")) } // whoever is gone shows at the next line
	say("220 sink")
	data := false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch {
		case data && line == ".\r\n":
			data = false
			say("250 2.0.0 OK")
		case data:
		case verb == "EHLO":
			say("250-sink\r\n250-SIZE 100000000\r\n250 AUTH PLAIN")
		case verb == "AUTH":
			say("235 2.7.0 in")
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 OK")
		}
	}
}

// A signer is a provider: an RSA key of 2048 bits, as all have, under an intermediate and a root.
type signer struct {
	key          *rsa.PrivateKey
	leaf, middle *x509.Certificate
	rootPEM      []byte
}

func newSigner(b *testing.B) (s signer) {
	b.Helper()
	key := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			b.Fatal(err)
		}
		return k
	}
	issue := func(c, parent *x509.Certificate, by, of *rsa.PrivateKey) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &of.PublicKey, by)
		if err != nil {
			b.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		return made
	}
	rootKey, middleKey := key(), key()
	authority := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	root := authority(1, "Root")
	root = issue(root, root, rootKey, rootKey)
	s.middle = issue(authority(2, "Intermediate"), root, rootKey, middleKey)
	s.key = key()
	s.leaf = issue(&x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "Gestore"}, EmailAddresses: []string{"posta-certificata@gestore.test"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
	}, s.middle, middleKey, s.key)
	s.rootPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	return s
}

// receipt forges one of ingestSize bytes: the rest is the text for people and, in a delivery, the message returned.
func (s signer) receipt(b *testing.B, tipo, ticket string, n int) []byte {
	now := time.Now()
	id := "h1." + ticket + ".1@pec.ente.test"
	name := fmt.Sprintf("gest%d.20261122103000.%05d@gestore.test", n, n)
	subject, about, original := "ACCETTAZIONE: Codice", "", ""
	if tipo == "avvenuta-consegna" {
		subject, about = "CONSEGNA: Codice", `<ricevuta tipo="completa"/><consegna>protocollo@pec.azienda.test</consegna>`
		original = "------=_P1\r\nContent-Type: message/rfc822; name=\"postacert.eml\"\r\nContent-Disposition: attachment; filename=\"postacert.eml\"\r\n\r\n" +
			"From: ufficio@pec.ente.test\r\nTo: protocollo@pec.azienda.test\r\nMessage-ID: <" + name + ">\r\n\r\n"
	}
	doc := `<?xml version="1.0" encoding="UTF-8"?><postacert tipo="` + tipo + `" errore="nessuno"><intestazione><mittente>ufficio@pec.ente.test</mittente>` +
		`<destinatari tipo="certificato">protocollo@pec.azienda.test</destinatari><risposte>ufficio@pec.ente.test</risposte><oggetto>Codice</oggetto></intestazione><dati>` +
		`<gestore-emittente>Gestore S.p.A.</gestore-emittente>` + now.Format(`<data zona="-0700"><giorno>02/01/2006</giorno><ora>15:04:05</ora></data>`) +
		`<identificativo>` + name + `</identificativo><msgid>&lt;` + id + `&gt;</msgid>` + about + `</dati></postacert>`
	text := "------=_P2\r\nContent-Type: text/plain; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nRicevuta.\r\n"
	body := "Content-Type: multipart/mixed; boundary=\"----=_P1\"\r\n\r\n------=_P1\r\nContent-Type: multipart/alternative; boundary=\"----=_P2\"\r\n\r\n" + text
	rest := "------=_P2--\r\n------=_P1\r\nContent-Type: application/xml; name=\"daticert.xml\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline; filename=\"daticert.xml\"\r\n\r\n" +
		base64.StdEncoding.EncodeToString([]byte(doc)) + "\r\n"
	line := strings.Repeat("Testo della ricevuta o del messaggio. ", 2) + "\r\n"
	fill := strings.Repeat(line, max(0, ingestSize-6800-len(body)-len(rest)-len(original))/len(line))
	if original == "" {
		body += fill + rest
	} else {
		body += rest + original + fill
	}
	body += "------=_P1--\r\n"
	sd, err := pkcs7.NewSignedData([]byte(body))
	if err != nil {
		b.Error(err)
		return nil
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.AddSignerChain(s.leaf, s.key, []*x509.Certificate{s.middle}, pkcs7.SignerInfoConfig{}); err != nil {
		b.Error(err)
		return nil
	}
	sd.Detach()
	der, err := sd.Finish()
	if err != nil {
		b.Error(err)
		return nil
	}
	var wrapped strings.Builder
	for p7s := base64.StdEncoding.EncodeToString(der); len(p7s) > 0; {
		k := min(76, len(p7s))
		wrapped.WriteString(p7s[:k] + "\r\n")
		p7s = p7s[k:]
	}
	return []byte("Received: from gestore.test\r\nDate: " + now.Format(time.RFC1123Z) + "\r\nFrom: posta-certificata@gestore.test\r\nTo: ufficio@pec.ente.test\r\nSubject: " + subject + "\r\n" +
		"Message-ID: <" + tipo + "." + name + ">\r\nMIME-Version: 1.0\r\nX-Ricevuta: " + tipo + "\r\nX-Riferimento-Message-ID: <" + id + ">\r\n" +
		"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"----=_P\"\r\n\r\nMessaggio firmato.\r\n------=_P\r\n" +
		body + "\r\n------=_P\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7s\"\r\n\r\n" +
		wrapped.String() + "------=_P--\r\n")
}
