package pec

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// Receipts that cannot both be so, and a message that went out twice, are for an operator to look at (pec.md section 7).
func TestContradictionsAreAlarmed(t *testing.T) {
	for story, word := range map[string]string{"errafter": "CONFLICT", "delafter": "CONFLICT", "twoaccept": "DOUBLE_SUBMISSION"} {
		t.Run(story, func(t *testing.T) {
			var log bytes.Buffer
			w := newWorld(t, nil)
			w.Adapter.env.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			id := w.submit(t, "1", to(story+".a@pec.cittadini.test"))
			w.follow(t, id, settled)
			w.bench.Advance(2 * time.Hour)
			_, d := w.follow(t, id, settled)
			if !strings.Contains(sketch(d), word) {
				t.Fatalf("%q", sketch(d))
			}
			if !strings.Contains(log.String(), "flag="+word) { // folded twice it is told twice
				t.Errorf("no line tells of it: %s", log.String())
			}
			if strings.Contains(log.String(), "@") {
				t.Errorf("somebody stands in the log: %s", log.String())
			}
		})
	}
}
