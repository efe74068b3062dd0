package inad

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/contracts/domicile"
)

// What the adapter costs on top of the plainest client that could do the same exchange. The far side runs in another
// process, so that only the client's own work is counted.

const playServer = "RACCORDO_PLAY_SERVER"

// playAsServer answers extracts, and vouchers that nobody checks, until its standard input ends.
func playAsServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token.oauth2", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"`+strings.Repeat("e30", 300)+`.e30.e30","token_type":"Bearer","expires_in":3600}`)
	})
	mux.HandleFunc("GET /extract/{codice_fiscale}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"codiceFiscale":"`+r.PathValue("codice_fiscale")+`","since":"2026-11-21T08:00:00Z","digitalAddress":[`+
			`{"digitalAddress":"nome.cognome@pec.example","usageInfo":{"motivation":"CESSAZIONE_VOLONTARIA","dateEndValidity":"2031-01-10T00:00:00Z"}},`+
			`{"digitalAddress":"studio@pec.example","practicedProfession":"Fotografo","usageInfo":null}]}`)
	})
	s := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	fmt.Println("http://" + l.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = s.Close()
}

// elsewhere starts the far side in another process and gives its address.
func elsewhere(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), playServer+"=1")
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if err := cmd.Start(); err != nil {
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
	return strings.TrimSpace(line)
}

// plain is the exchange as anybody would write it: a token from a variable, a struct, nothing else.
func plain(base string) (once func(ctx context.Context) error, done func()) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	client := &http.Client{Timeout: 8 * time.Second, Transport: transport}
	token := "Bearer " + strings.Repeat("e30", 300) + ".e30.e30"
	code := query("personal-domicile").Subject.CodiceFiscale.Reveal()
	return func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/extract/"+code+"?practicalReference="+url.QueryEscape("CASE-7"), nil)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", token)
		r.Header.Set("Accept", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		var x extraction
		if err := json.NewDecoder(resp.Body).Decode(&x); err != nil {
			return err
		}
		if len(x.DigitalAddress) != 2 {
			return fmt.Errorf("%d addresses", len(x.DigitalAddress))
		}
		return nil
	}, transport.CloseIdleConnections
}

// through is the exchange through the adapter, as the pipeline calls it.
func through(t testing.TB, base string) func(ctx context.Context) error {
	t.Helper()
	_, a := open(t, func(c *Config, env *contracts.Env) {
		c.HTTP.Endpoint, c.HTTP.CA = base, ""
		c.Voucher.Endpoint, c.Voucher.CA = base+"/token.oauth2", ""
		env.Clock = contracts.SystemClock{}
	})
	q := query("personal-domicile")
	return func(ctx context.Context) error {
		answer, err := a.Lookup(ctx, q)
		if err != nil {
			return err
		}
		if len(answer.Domiciles) != 1 {
			return fmt.Errorf("%d domiciles", len(answer.Domiciles))
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
	ctx := asking(context.Background(), domicile.OpLookup.OpInfo)
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

// BenchmarkExtract compares the two in turns, and reports ratios: at most 1.25 in CPU, 1.4 in allocations.
func BenchmarkExtract(b *testing.B) {
	base := elsewhere(b)
	adapter := through(b, base)
	direct, done := plain(base)
	defer done()
	const turn = 500
	spend(b, turn, adapter)
	spend(b, turn, direct)
	var ours, theirs cost
	for b.Loop() {
		for _, x := range []struct {
			sum  *cost
			once func(context.Context) error
		}{{&ours, adapter}, {&theirs, direct}} {
			c := spend(b, turn, x.once)
			x.sum.cpu += c.cpu
			x.sum.allocs += c.allocs
		}
	}
	exchanges := float64(b.N * turn)
	b.ReportMetric(float64(ours.cpu)/float64(theirs.cpu), "cpu-ratio")
	b.ReportMetric(float64(ours.allocs)/float64(theirs.allocs), "alloc-ratio")
	b.ReportMetric(float64(ours.cpu.Microseconds())/exchanges, "cpu-µs/extract")
	b.ReportMetric(float64(ours.allocs)/exchanges, "allocs/extract")
	b.ReportMetric(float64(theirs.allocs)/exchanges, "plain-allocs/extract")
	b.ReportMetric(0, "ns/op") // a turn of both, and nobody's business
}

// Allocations do not depend on the machine, so that their limit is a test.
func TestAnExtractAllocatesLittleMoreThanThePlainExchange(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates too")
	}
	base := elsewhere(t)
	adapter := through(t, base)
	direct, done := plain(base)
	defer done()
	const n = 300
	spend(t, n, adapter)
	spend(t, n, direct)
	ours, theirs := spend(t, n, adapter).allocs, spend(t, n, direct).allocs
	if ratio := float64(ours) / float64(theirs); ratio > 1.4 {
		t.Errorf("%d allocations for the plain exchange's %d: %.2f times, want at most 1.4", ours/n, theirs/n, ratio)
	}
}
