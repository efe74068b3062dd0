package call

import (
	"context"
	"path/filepath"
	"testing"

	"raccordo/contracts"
	"raccordo/hub/store"
)

func openStore(t *testing.T, path, key string) *store.Store {
	t.Helper()
	cfg := store.Default()
	cfg.Path, cfg.Key, cfg.Reserve = path, "secret://env/STORE_KEY", 0
	s, err := store.Open(t.Context(), cfg, store.Options{
		Secret: func(context.Context, contracts.Secret) ([]byte, error) { return []byte(key), nil },
	})
	ok(t, err)
	return s
}

func TestDailyCountsSurviveARestart(t *testing.T) {
	t.Parallel()
	path, key := filepath.Join(t.TempDir(), "hub.db"), store.NewKey()
	clock := newClock()

	s := openStore(t, path, key)
	days, err := NewDayStore(t.Context(), s)
	ok(t, err)
	l, run := daily(clock, days, 200) // batches of two
	for range 5 {
		_, err := run(t.Context(), aCall(opRead, 1))
		ok(t, err)
	}
	ok(t, s.Close()) // and no Close of the Limiter: the process was killed with one of six in hand
	_ = l

	s = openStore(t, path, key)
	days, err = NewDayStore(t.Context(), s)
	ok(t, err)
	l, run = daily(clock, days, 200)
	passed := 0
	for {
		_, err := run(t.Context(), aCall(opRead, 1))
		if err != nil {
			wantKind(t, err, contracts.Throttled)
			break
		}
		passed++
	}
	equal(t, "passed after the restart", passed, 194)
	ok(t, l.Close(t.Context()))
	ok(t, s.Close())
}

func TestTheDayStoreKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	s := openStore(t, filepath.Join(t.TempDir(), "hub.db"), store.NewKey())
	defer func() { ok(t, s.Close()) }()
	d, err := NewDayStore(t.Context(), s)
	ok(t, err)
	flushed := s.Stats().Flushes
	_, err = d.Claim(t.Context(), "far/other", "2026-03-02", 1, 1)
	ok(t, err)
	equal(t, "a claim is forced to the disk", s.Stats().Flushes, flushed+1)
	for _, tt := range []struct {
		day      string
		n, limit int64
		got      int64
		returned int64
	}{
		{day: "2026-03-02", n: 50, limit: 70, got: 50},
		{day: "2026-03-02", n: 50, limit: 70, got: 20},
		{day: "2026-03-02", n: 50, limit: 70, got: 0, returned: 5},
		{day: "2026-03-02", n: 50, limit: 70, got: 5},
		{day: "2026-03-02", n: 50, limit: 10, got: 0}, // the limit was lowered
		{day: "2026-03-03", n: 50, limit: 70, got: 50, returned: 99},
		{day: "2026-03-03", n: 99, limit: 70, got: 70},
		{day: "2026-05-01", n: 1, limit: 70, got: 1}, // forgets March
		{day: "2026-03-02", n: 1, limit: 70, got: 1},
	} {
		got, err := d.Claim(t.Context(), "far/flussi", tt.day, tt.n, tt.limit)
		ok(t, err)
		equal(t, tt.day+" granted", got, tt.got)
		if tt.returned > 0 {
			ok(t, d.Return(t.Context(), "far/flussi", tt.day, tt.returned))
		}
	}
	_, err = d.Claim(t.Context(), "far/flussi", "no day", 1, 1)
	if err == nil {
		t.Fatal("a day that is none was counted")
	}
}
