package pec

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"raccordo/mocks/lab"
)

// BenchmarkMessages sends notices of 2 KB from many mailboxes at once and delivers them: one op is a message taken, with its
// two receipts signed and in the mailbox. The floor is the signing alone: "sign/op" is what two signatures of 2,048 bits take
// on one processor in the same run, "floors" how many times that a message took in all (two processors can reach one half).
func BenchmarkMessages(b *testing.B) {
	for _, kind := range []string{"sintetica", "completa"} {
		for _, boxes := range []int{10, 110} {
			b.Run(fmt.Sprintf("%s/mailboxes=%d", kind, boxes), func(b *testing.B) {
				dir := b.TempDir()
				bench, err := lab.New(lab.Options{Clock: lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)), Dir: dir, JournalBytes: 1 << 20, JournalLines: 1000})
				if err != nil {
					b.Fatal(err)
				}
				defer bench.Close()
				m := New(WithAccounts(boxes))
				if err := bench.Attach(m); err != nil {
					b.Fatal(err)
				}
				clients := make([]*smtp.Client, boxes)
				pool := m.Accounts()[len(m.Accounts())-boxes:]
				for i, a := range pool {
					if clients[i], err = smtp.DialTLS(bench.Endpoint("pec", "smtps"), bench.CA().ClientTLS()); err != nil {
						b.Fatal(err)
					}
					defer clients[i].Close()
					if err := clients[i].Auth(sasl.NewPlainClient("", a.User, a.Password)); err != nil {
						b.Fatal(err)
					}
				}
				body := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 25)
				const to = "rossi@pec.cittadini.test"
				b.ResetTimer()
				start := time.Now()
				for sent := 0; sent < b.N; {
					var wg sync.WaitGroup
					for i, c := range clients {
						n := min(6, b.N-sent)
						sent += n
						wg.Go(func() {
							for range n {
								raw := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: Notifica\r\nMessage-ID: <%d.%d@x>\r\nX-TipoRicevuta: %s\r\n\r\n%s",
									pool[i].Address, to, i, time.Now().UnixNano(), kind, body)
								if err := c.SendMail(pool[i].Address, []string{to}, strings.NewReader(raw)); err != nil {
									b.Error(err)
								}
							}
						})
					}
					wg.Wait()
					bench.Advance(time.Minute)
				}
				took := time.Since(start)
				b.StopTimer()
				floor := signingTime(b, m)
				b.ReportMetric(float64(b.N)/took.Seconds(), "messages/s")
				b.ReportMetric(float64(floor.Nanoseconds()), "sign-ns/op")
				b.ReportMetric(float64(took)/float64(b.N)/float64(floor), "floors")
				if got := len(m.Truth()); got != b.N {
					b.Errorf("%d of %d messages", got, b.N)
				}
			})
		}
	}
}

// signingTime is what two signatures take.
func signingTime(b *testing.B, m *Mock) time.Duration {
	b.Helper()
	digest := make([]byte, 32)
	start := time.Now()
	const times = 50
	for range 2 * times {
		if _, err := m.pki.keys[0].Sign(rand.Reader, digest, crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) / times
}

// BenchmarkFetch reads a mailbox of signed receipts in batches of 100, as a reader that starts from nothing does.
func BenchmarkFetch(b *testing.B) {
	bench, err := lab.New(lab.Options{Clock: lab.NewClock(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)), Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer bench.Close()
	m := New()
	if err := bench.Attach(m); err != nil {
		b.Fatal(err)
	}
	const messages = 1000
	raw := bytes.Repeat([]byte("X-Filler: "+strings.Repeat("x", 66)+"\r\n"), 260) // 20 KB
	for range messages {
		if err := m.Put(m.Accounts()[0].Address, "INBOX", raw); err != nil {
			b.Fatal(err)
		}
	}
	c, err := imapclient.DialTLS(bench.Endpoint("pec", "imaps"), &imapclient.Options{TLSConfig: bench.CA().ClientTLS()})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(m.Accounts()[0].User, m.Accounts()[0].Password).Wait(); err != nil {
		b.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		b.Fatal(err)
	}
	section := &imap.FetchItemBodySection{Peek: true}
	b.SetBytes(int64(len(raw)))
	b.ResetTimer()
	for read := 0; read < b.N; {
		from := uint32(read%messages) + 1
		set := imap.UIDSet{{Start: imap.UID(from), Stop: imap.UID(min(from+99, messages))}}
		got, err := c.Fetch(set, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			b.Fatal(err)
		}
		read += len(got)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
