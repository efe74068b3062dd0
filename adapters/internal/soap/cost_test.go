package soap

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// What the wrapper costs on top of the plainest client that could do the same exchange. The far side runs in another
// process, over TLS, so that only the client's own work is counted.

const playServer = "RACCORDO_PLAY_SERVER"

// playAsServer answers as the tax agency's gateway does, until its standard input ends.
func playAsServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	chain, err := tls.X509KeyPair([]byte(os.Getenv(playServer)), []byte(os.Getenv(playServer+"_KEY")))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answer := []byte(`<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="` + NSEnvelope + `"><soapenv:Header/><soapenv:Body>` +
		`<told xmlns="urn:example:thing"><valid>true</valid><note>XX00</note></told></soapenv:Body></soapenv:Envelope>`)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/xml; charset=UTF-8")
		_, _ = w.Write(answer)
	})}
	go func() {
		_ = s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{chain}, MinVersion: tls.VersionTLS12}))
	}()
	fmt.Println("https://" + l.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}

// elsewhere starts the far side in another process and gives its address and the file of its certificate.
func elsewhere(t testing.TB) (base, ca string) {
	t.Helper()
	p := newParty(t, p256(t), func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}, nil)
	key, err1 := x509.MarshalPKCS8PrivateKey(p.key)
	self, err2 := os.Executable()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), playServer+"="+string(cert),
		playServer+"_KEY="+string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the far side: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), ca
}

// plain is the exchange as anybody would write it: two structs, a template for the signature, nothing else.
func plain(t testing.TB, base, ca string, sign *party) (once func(ctx context.Context) error) {
	t.Helper()
	roots := x509.NewCertPool()
	text, err := os.ReadFile(ca)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Timeout: 8 * time.Second, Transport: transport}
	return func(ctx context.Context) error {
		type reqBody struct {
			Ask ask
		}
		type reqEnvelope struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Body    reqBody
		}
		var text []byte
		var err error
		if sign != nil {
			text, err = plainSigned(sign, &ask{Who: "RSSMRA85T10A562S"})
		} else {
			text, err = xml.Marshal(reqEnvelope{Body: reqBody{ask{Who: "RSSMRA85T10A562S"}}})
		}
		if err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(text))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "text/xml; charset=utf-8")
		r.Header.Set("SOAPAction", `"Ask"`)
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		var in struct {
			XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
			Body    struct {
				Told told `xml:"urn:example:thing told"`
			} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
		}
		if err := xml.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&in); err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if in.Body.Told.Valid == nil || in.Body.Told.Note != "XX00" {
			return errors.New("another answer")
		}
		return nil
	}
}

// plainSigned fills in a template that somebody made canonical by hand.
func plainSigned(p *party, question *ask) ([]byte, error) {
	content, err := xml.Marshal(question)
	if err != nil {
		return nil, err
	}
	var salt [8]byte
	_, _ = rand.Read(salt[:])
	id := hex.EncodeToString(salt[:])
	part := `<soap:Body xmlns:soap="` + NSEnvelope + `" xmlns:wsu="` + NSUtility + `" wsu:Id="b-` + id + `">` + string(content) + `</soap:Body>`
	now := time.Now().UTC()
	timestamp := `<wsu:Timestamp xmlns:wsu="` + NSUtility + `" wsu:Id="t-` + id + `"><wsu:Created>` + now.Format(instant) + `</wsu:Created><wsu:Expires>` +
		now.Add(5*time.Minute).Format(instant) + `</wsu:Expires></wsu:Timestamp>`
	token := `<wsse:BinarySecurityToken xmlns:wsse="` + NSSecurity + `" xmlns:wsu="` + NSUtility + `" EncodingType="` + tokenBase64 + `" ValueType="` + tokenX509 +
		`" wsu:Id="k-` + id + `">` + base64.StdEncoding.EncodeToString(p.cert.Raw) + `</wsse:BinarySecurityToken>`
	ref := func(id, part string) string {
		d := sha256.Sum256([]byte(part))
		return `<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="` + ExclusiveC14N + `"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="` +
			digestSHA256 + `"></ds:DigestMethod><ds:DigestValue>` + base64.StdEncoding.EncodeToString(d[:]) + `</ds:DigestValue></ds:Reference>`
	}
	info := `<ds:SignedInfo xmlns:ds="` + NSSignature + `"><ds:CanonicalizationMethod Algorithm="` + ExclusiveC14N + `"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="` + signatureMore + `rsa-sha256"></ds:SignatureMethod>` + ref("b-"+id, part) + ref("t-"+id, timestamp) + ref("k-"+id, token) + `</ds:SignedInfo>`
	digest := sha256.Sum256([]byte(info))
	value, err := p.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return []byte(declaration + envelopeHead + `<soap:Header><wsse:Security xmlns:wsse="` + NSSecurity + `" soap:mustUnderstand="1">` + timestamp + token +
		`<ds:Signature xmlns:ds="` + NSSignature + `">` + info + `<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue><ds:KeyInfo>` +
		`<wsse:SecurityTokenReference><wsse:Reference URI="#k-` + id + `" ValueType="` + tokenX509 + `"/></wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>` +
		`</wsse:Security></soap:Header>` + part + `</soap:Envelope>`), nil
}

// through is the exchange through the wrapper, as an adapter calls it.
func through(t testing.TB, base, ca string, sign *party) func(ctx context.Context) error {
	t.Helper()
	opt := Options{Wire: dial(t, base, func(c *wire.Config) { c.CA = ca })}
	if sign != nil {
		opt.Sign = &Signer{Key: sign.key, Certificate: sign.cert}
	}
	c := New(opt)
	op := operation
	op.Action = `"Ask"`
	return func(ctx context.Context) error {
		answer, _, err := Call[told](ctx, c, op, &ask{Who: "RSSMRA85T10A562S"})
		if err != nil {
			return err
		}
		if answer.Valid == nil || answer.Note != "XX00" {
			return errors.New("another answer")
		}
		return nil
	}
}

// A cost is what some rounds took of this process.
type cost struct {
	cpu    time.Duration
	allocs uint64
}

func spend(tb testing.TB, n int, once func(context.Context) error) cost {
	tb.Helper()
	ctx := with(context.Background(), contracts.Read)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := cpu(tb)
	for range n {
		if err := once(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	used := cpu(tb) - start
	runtime.ReadMemStats(&after)
	return cost{used, after.Mallocs - before.Mallocs}
}

func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCall compares the two in turns, and reports ratios: at most 1.3 in CPU unsigned, at most 1.2 with RSA.
func BenchmarkCall(b *testing.B) {
	for _, tc := range []struct {
		name string
		sign bool
		turn int
	}{{"unsigned", false, 400}, {"rsa", true, 100}} {
		b.Run(tc.name, func(b *testing.B) {
			base, ca := elsewhere(b)
			var sign *party
			if tc.sign {
				sign = newParty(b, rsaKey(), nil, nil)
			}
			ours, theirs := through(b, base, ca, sign), plain(b, base, ca, sign)
			spend(b, tc.turn, ours)
			spend(b, tc.turn, theirs)
			var a, p cost
			for b.Loop() {
				for _, x := range []struct {
					sum  *cost
					once func(context.Context) error
				}{{&a, ours}, {&p, theirs}} {
					c := spend(b, tc.turn, x.once)
					x.sum.cpu += c.cpu
					x.sum.allocs += c.allocs
				}
			}
			calls := float64(b.N * tc.turn)
			b.ReportMetric(float64(a.cpu)/float64(p.cpu), "cpu-ratio")
			b.ReportMetric(float64(a.allocs)/float64(p.allocs), "alloc-ratio")
			b.ReportMetric(float64(a.cpu.Microseconds())/calls, "cpu-µs/call")
			b.ReportMetric(float64(p.cpu.Microseconds())/calls, "plain-cpu-µs/call")
			b.ReportMetric(float64(a.allocs)/calls, "allocs/call")
			b.ReportMetric(float64(p.allocs)/calls, "plain-allocs/call")
			b.ReportMetric(0, "ns/op") // a turn of both, and nobody's business
		})
	}
}

// Allocations do not depend on the machine, so that their limit is a test.
func TestACallAllocatesLittleMoreThanThePlainExchange(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	base, ca := elsewhere(t)
	wrapped, direct := through(t, base, ca, nil), plain(t, base, ca, nil)
	const n = 200
	spend(t, n, wrapped)
	spend(t, n, direct)
	ours, theirs := spend(t, n, wrapped).allocs, spend(t, n, direct).allocs
	if ratio := float64(ours) / float64(theirs); ratio > 1.4 {
		t.Errorf("%d allocations for the plain exchange's %d: %.2f times, want at most 1.4", ours/n, theirs/n, ratio)
	}
}

// ratio times two things in turns and reports how much longer the first takes.
func ratio(b *testing.B, name string, ours, floor func() error) {
	b.Helper()
	var a, f time.Duration
	for b.Loop() {
		for range 20 {
			start := cpu(b)
			if err := ours(); err != nil {
				b.Fatal(err)
			}
			middle := cpu(b)
			if err := floor(); err != nil {
				b.Fatal(err)
			}
			a, f = a+middle-start, f+cpu(b)-middle
		}
	}
	b.ReportMetric(float64(a)/float64(f), name)
	b.ReportMetric(0, "ns/op")
}

// BenchmarkParts compares what is done to a message with the least that could be done: hygiene with the decoding that
// follows it, a signature with the bare RSA operation.
func BenchmarkParts(b *testing.B) {
	large := []byte(body(`<told xmlns="urn:example:thing">` + strings.Repeat(`<row a="1"><x>text</x><y>1</y></row>`, 5000) + `<note>n</note></told>`))
	form := shapeOf(reflect.TypeFor[told](), map[reflect.Type]*shape{})
	b.Run("hygiene", func(b *testing.B) {
		ratio(b, "of-decoding", func() error {
			_, err := scan(large, operation.Answer, form, nil)
			return err
		}, func() error {
			var in struct {
				Body struct {
					Told told `xml:"urn:example:thing told"`
				} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
			}
			return xml.Unmarshal(large, &in)
		})
	})
	p := newParty(b, rsaKey(), nil, nil)
	bare := func() error {
		_, err := p.key.Sign(rand.Reader, make([]byte, sha256.Size), crypto.SHA256)
		return err
	}
	b.Run("sign", func(b *testing.B) {
		ratio(b, "of-bare-rsa-sign", func() error {
			_, err := p.signer().envelope(noon, []byte(wsaBlocks), []byte(yes+"</soap:Body></soap:Envelope>"))
			return err
		}, bare)
	})
	b.Run("verify", func(b *testing.B) {
		good, v := p.answer(b, yes), p.verifier()
		ratio(b, "of-bare-rsa-sign", func() error {
			_, _, err := verify(v, noon, good)
			return err
		}, bare)
	})
}
