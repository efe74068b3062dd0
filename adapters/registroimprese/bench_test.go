package registroimprese

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/company"
	"raccordo/contracts/company/companytest"
)

// What a profile costs to be read, held against the question and told in our words, beside the decoding alone.
func BenchmarkProfile(b *testing.B) {
	body := []byte(strings.ReplaceAll(whole, "CODE", aFirm))
	asked := companytest.Query(aFirm, "").Subject
	s := &EService{reader: aReader(b)}
	b.Run("decoding alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p profile
			if err := json.Unmarshal(body, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("company", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := parseProfile(body, asked)
			if err != nil {
				b.Fatal(err)
			}
			if c := s.company(b.Context(), p); len(c.Unknown) != 0 {
				b.Fatal("not the whole profile")
			}
		}
	})
}

// What a question costs on either road, beside the plainest client that could ask it, each over loopback with a far side in
// the same process: take the differences, not the ratios, for the adapter's own.
func BenchmarkFind(b *testing.B) {
	body := strings.Replace(strings.ReplaceAll(whole, "CODE", aFirm), `"sede"`, `"cf": "`+aFirm+`", "sede"`, 1)
	endpoint := farSide(b, http.Header{"Content-Type": {"application/json"}}, http.StatusOK, body)
	b.Run("plain client", func(b *testing.B) {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.Proxy = nil
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, endpoint+"/imprese/"+aFirm+"?"+full, nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+strings.Repeat("e30", 300))
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			raw, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			var p profile
			if err != nil || json.Unmarshal(raw, &p) != nil {
				b.Fatal("no profile")
			}
		}
	})
	to := func(c *Config, env *contracts.Env) {
		c.HTTP.Endpoint, c.HTTP.CA, env.Clock = endpoint, "", contracts.SystemClock{}
	}
	_, g := overGateway(b, to)
	ask := func(r finder) func(*testing.B) {
		return func(b *testing.B) {
			ctx := asking(b.Context(), company.OpFind.OpInfo)
			q := companytest.Query(aFirm, "")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Find(ctx, q); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	b.Run("road wspa", ask(g))
	_, e := overPDND(b, func(c *Config, _ *contracts.Env) { c.HTTP.Endpoint, c.HTTP.CA = endpoint, "" })
	b.Run("road pdnd", ask(e))
}
