package lab

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is a mock that counts the work it does.
type toy struct {
	name string
	mu   sync.Mutex
	work int
	hold chan struct{} // when not nil, work waits for it
}

func (t *toy) Name() string { return t.name }

func (t *toy) Attach(b *Bench) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /base/task/{id}", func(w http.ResponseWriter, r *http.Request) {
		if t.hold != nil {
			<-t.hold
		}
		t.mu.Lock()
		t.work++
		t.mu.Unlock()
		Parsed(r.Context(), r.PathValue("id"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"done":"all of the work that was asked for"}`)
	})
	mux.HandleFunc("GET /base/panic", func(http.ResponseWriter, *http.Request) { panic("a mistake in the mock") })
	mux.HandleFunc("GET /base/rule", func(w http.ResponseWriter, r *http.Request) {
		Refused(r.Context(), "the rule")
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	_, err := b.ServeHTTP(t.name, Under("/base", mux))
	return err
}

func (t *toy) done() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.work
}

// ask posts work and reads the whole answer.
func ask(t *testing.T, c *http.Client, b *Bench, path string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.URL("toy")+path, strings.NewReader(`{"x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // nothing may be sent twice behind our back
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}
