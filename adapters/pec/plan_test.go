package pec

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"raccordo/contracts"
)

func pooled(n, perMinute int, quota int64, receipt string) (pool []PlannedMailbox) {
	for i := range n {
		pool = append(pool, PlannedMailbox{Name: fmt.Sprint("m", i+1), PerMinute: perMinute, Quota: quota, Receipt: receipt})
	}
	return pool
}

func TestPlanTellsWhatAPoolCarries(t *testing.T) {
	const gigabyte = 1_000_000_000
	for _, tc := range []struct {
		name       string
		load       Load
		fits       bool
		hours      float64 // of sending; negative: never done
		bottleneck string
		brief      int    // messages whose receipts come without the message
		advice     string // part of it
	}{
		{"one message", Load{Messages: 1, Pool: pooled(1, 6, 0, formComplete)}, true, 0, "", 0, ""},
		{"a minute's worth", Load{Messages: 6, Pool: pooled(1, 6, 0, formComplete)}, true, 0, "", 0, ""},
		{"one more", Load{Messages: 7, Pool: pooled(1, 6, 0, formComplete)}, true, 1. / 60, "", 0, ""},
		{"the notices of a cliff day, one mailbox", Load{Messages: 43_300, Pool: pooled(1, 6, 0, formComplete)}, true, 120.27, "", 0, ""},
		{"by ten", Load{Messages: 43_300, Pool: pooled(10, 6, 0, formComplete)}, true, 12.02, "", 0, ""},
		{
			"by ten, within eight hours",
			Load{Messages: 43_300, Pool: pooled(10, 6, 0, formComplete), By: opening.Add(8 * time.Hour)},
			false, 12.02, "rate", 0, "6 more mailboxes like m1",
		},
		{"by sixteen, within eight hours", Load{Messages: 43_300, Pool: pooled(16, 6, 0, formComplete), By: opening.Add(8 * time.Hour)}, true, 7.5, "", 0, ""},
		{
			"half a megabyte each: the quota turns to breve",
			Load{Messages: 43_300, Size: 500_000, Pool: pooled(10, 6, 2*gigabyte, formComplete)},
			true, 12.02, "", 43_300 - 10*3229, "",
		},
		{
			"more than the boxes hold in any form",
			Load{Messages: 1_000_000, Size: 50_000, Pool: pooled(10, 60, 2*gigabyte, formBrief)},
			false, -1, "quota", 0, "more mailboxes like m1",
		},
		{
			"which the shortest would hold",
			Load{Messages: 650_000, Size: 50_000, Pool: pooled(10, 60, 2*gigabyte, formBrief)},
			false, -1, "quota", 0, "receipts of form sintetica would do",
		},
		{"large ones ask for breve from the start", Load{Messages: 10_000, Size: 6 << 20, Pool: pooled(1, 60, 2*gigabyte, formComplete)}, true, 166. / 60, "", 0, ""},
		{"each takes half a second", Load{Messages: 43_300, Submission: time.Second / 2, Pool: pooled(10, 6, 0, formComplete)}, true, 12.12, "", 0, ""},
		{"the wire is slower than the contract", Load{Messages: 7200, Submission: time.Second / 2, Pool: pooled(1, 600, 0, formComplete)}, true, 1, "", 0, ""},
		{"nobody", Load{Messages: 1}, false, -1, "quota", 0, "no mailbox"},
		{"no time for the last receipt", Load{Messages: 1, Pool: pooled(1, 6, 0, formShort), Poll: time.Hour, By: opening.Add(time.Minute)}, false, 0, "rate", 0, "too near"},
		{"nothing", Load{Pool: pooled(1, 6, 0, formShort)}, true, 0, "", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := tc.load
			l.From, l.BreveAbove = opening, 5<<20
			l.Recipients = 1
			f := Plan(l)
			if f.Fits != tc.fits || f.Bottleneck != tc.bottleneck {
				t.Errorf("fits %t, bottleneck %q; want %t, %q", f.Fits, f.Bottleneck, tc.fits, tc.bottleneck)
			}
			if tc.hours < 0 {
				if !f.Done.IsZero() {
					t.Errorf("done at %v", f.Done)
				}
			} else if got := f.Done.Sub(opening) - l.Poll; math.Abs(got.Hours()-tc.hours) > 0.02 {
				t.Errorf("done after %v, want %.2f h", got, tc.hours)
			}
			brief, messages, receipts := 0, 0, int64(0)
			for _, s := range f.Mailboxes {
				brief += s.Brief
				messages += s.Messages
				receipts += s.Receipts
				if s.Fill > fillAlarm+0.01 {
					t.Errorf("%s is filled to %.2f", s.Name, s.Fill)
				}
			}
			if messages != f.Carried || receipts != f.Receipts || brief != tc.brief {
				t.Errorf("%d messages of %d, %d bytes of %d, %d brief, want %d", messages, f.Carried, receipts, f.Receipts, brief, tc.brief)
			}
			if all := strings.Join(f.Advice, "; "); !strings.Contains(all, tc.advice) || (tc.advice == "" && !f.Fits) {
				t.Errorf("advice %q, want %q", all, tc.advice)
			}
		})
	}
}

func drawLoad(t *rapid.T) Load {
	l := Load{
		Messages: rapid.IntRange(0, 50_000).Draw(t, "messages"), Size: rapid.IntRange(0, 2_000_000).Draw(t, "size"),
		Recipients: rapid.IntRange(1, 5).Draw(t, "recipients"), From: opening, BreveAbove: 5 << 20,
		Submission: time.Duration(rapid.IntRange(0, 3000).Draw(t, "submission")) * time.Millisecond,
		Delivery:   time.Minute, Poll: time.Minute,
	}
	if rapid.Bool().Draw(t, "by") {
		l.By = opening.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "hours")) * time.Hour)
	}
	for i := range rapid.IntRange(0, 8).Draw(t, "mailboxes") {
		l.Pool = append(l.Pool, PlannedMailbox{
			Name: fmt.Sprint(i), PerMinute: rapid.IntRange(1, 100).Draw(t, "rate"),
			Quota: int64(rapid.IntRange(0, 3).Draw(t, "quota")) * 500_000_000, Used: int64(rapid.IntRange(0, 600).Draw(t, "used")) * 1_000_000,
			Receipt: rapid.SampledFrom([]string{formComplete, formBrief, formShort}).Draw(t, "receipt"),
		})
	}
	return l
}

// later reports whether one forecast ends later than another, or not at all.
func later(a, b Forecast) bool {
	return !b.Done.IsZero() && (a.Done.IsZero() || a.Done.After(b.Done))
}

func TestMoreToCarryIsNeverSooner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		more := l
		more.Messages += rapid.IntRange(1, 10_000).Draw(t, "more")
		a, b := Plan(l), Plan(more)
		if later(a, b) || b.Fits && !a.Fits || b.Carried < a.Carried {
			t.Fatalf("%d messages: %v %d, %d messages: %v %d", l.Messages, a.Done, a.Carried, more.Messages, b.Done, b.Carried)
		}
	})
}

func TestMoreMailboxesAndHigherRatesAreNeverLater(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		more := l
		more.Pool = slices.Clone(l.Pool)
		if len(l.Pool) > 0 && rapid.Bool().Draw(t, "faster") {
			more.Pool[0].PerMinute += rapid.IntRange(1, 100).Draw(t, "faster by")
		} else {
			more.Pool = append(more.Pool, PlannedMailbox{Name: "x", PerMinute: rapid.IntRange(1, 100).Draw(t, "x"), Receipt: formComplete})
		}
		a, b := Plan(l), Plan(more)
		if later(b, a) || a.Fits && !b.Fits || b.Carried < a.Carried {
			t.Fatalf("before: %v %d, with more: %v %d", a.Done, a.Carried, b.Done, b.Carried)
		}
	})
}

func TestAdviceHelps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := drawLoad(t)
		f := Plan(l)
		for _, line := range f.Advice {
			var n int
			better := l
			better.Pool = slices.Clone(l.Pool)
			if k, _ := fmt.Sscanf(line, "%d more mailboxes", &n); k == 1 {
				like := l.Pool[0]
				like.Used = 0
				better.Pool = append(better.Pool, slices.Repeat([]PlannedMailbox{like}, n)...)
				if !Plan(better).Fits {
					t.Fatalf("%q, and it does not fit", line)
				}
				better.Pool = better.Pool[:len(better.Pool)-1]
				if n > 0 && Plan(better).Fits {
					t.Fatalf("%q, and one less would do", line)
				}
			}
		}
	})
}

// The plan against the sender itself, on a clock that jumps: 43,300 notices over ten mailboxes of six a minute and 2 GB, of
// 500 KB each, so that the quota turns the form of the receipts on the way.
func TestPlanForetellsWhatTheSenderDoes(t *testing.T) {
	const messages, size, quota = 43_300, 500_000, 2_000_000_000
	l := Load{Messages: messages, Size: size, Recipients: 1, From: opening, BreveAbove: 5 << 20, Pool: pooled(10, 6, quota, formComplete)}
	p := dry(slices.Repeat([]int{6}, 10)...)
	m := attach(to("rossi@pec.cittadini.test"), "a.pdf", make([]byte, size*100/137))
	now, brief := opening, 0
	for _, b := range p.boxes {
		b.gate.quota = quota
	}
	for sent := 0; sent < messages; {
		b, w := p.reserve(now, nil)
		if b == nil {
			if !w.until.After(now) {
				t.Fatalf("stopped after %d", sent)
			}
			now = w.until
			continue
		}
		form := b.form(m, l.BreveAbove)
		if form == formBrief {
			brief++
		}
		b.gate.spent(now)
		b.gate.took(expected(size, m, form))
		p.release(b)
		sent++
	}
	f := Plan(l)
	foretold := 0
	for i, s := range f.Mailboxes {
		foretold += s.Brief
		if fill := p.boxes[i].gate.fill(); math.Abs(fill-s.Fill) > 0.01 || fill > fillAlarm {
			t.Errorf("%s is filled to %.3f, foretold %.3f", s.Name, fill, s.Fill)
		}
	}
	if !f.Done.Equal(now) || math.Abs(float64(foretold-brief)) > 20 || brief == 0 {
		t.Errorf("done after %v with %d brief, foretold %v with %d", now.Sub(opening), brief, f.Done.Sub(opening), foretold)
	}
}

// What a plan takes receipts to weigh is no less than what a provider sends.
func TestReceiptsWeighWhatThePlanAssumes(t *testing.T) {
	for _, form := range []string{formComplete, formBrief, formShort} {
		t.Run(form, func(t *testing.T) {
			w, _ := newPool(t, 1, func(c *Config) { c.Mailboxes[0].Receipt = form })
			m := attach(to("rossi@pec.cittadini.test", "ditta@pec.imprese.test"), "atto.pdf", make([]byte, 100_000))
			h := fresh(1)
			if _, err := w.Send(contracts.WithHold(t.Context(), h), m); err != nil {
				t.Fatal(err)
			}
			w.bench.Advance(time.Minute)
			used, _ := w.mock.Used(w.box.Address)
			raw := h.kept[keptMessage]
			assumed := expected(len(raw), m, form)
			if used > assumed || used == 0 || formAsked(raw) != form {
				t.Errorf("%d bytes came, %d were assumed", used, assumed)
			}
			l := Load{Messages: 1, Size: len(raw), Recipients: 2, From: opening, BreveAbove: 5 << 20, Pool: pooled(1, 6, 0, form)}
			if f := Plan(l); f.Receipts < used {
				t.Errorf("%d bytes came, %d were planned", used, f.Receipts)
			}
		})
	}
}

func TestPlanReadsTheConfiguration(t *testing.T) {
	c := good(t)
	c.Mailboxes = append(c.Mailboxes, c.Mailboxes[0], c.Mailboxes[0])
	c.Mailboxes[1].Name, c.Mailboxes[1].PerMinute, c.Mailboxes[1].Quota = "due", 30, 5<<30
	c.Mailboxes[2].Name, c.Mailboxes[2].Drain = "tre", true
	l, ok := c.Load("centrale")
	if !ok || len(l.Pool) != 2 || l.Pool[0].PerMinute != 6 || l.Pool[1] != (PlannedMailbox{Name: "due", PerMinute: 30, Quota: 5 << 30, Receipt: formComplete}) ||
		l.Poll != c.Poll || l.BreveAbove != c.BreveAbove {
		t.Errorf("%+v", l)
	}
	if _, ok := c.Load("altro"); ok || !slices.Equal(c.Roles(), []string{"centrale"}) {
		t.Error("a role that is not there")
	}
}

func BenchmarkPlanOfACliffDay(b *testing.B) {
	l := Load{Messages: 43_300, Size: 60_000, Recipients: 1, From: opening, By: opening.Add(time.Hour), BreveAbove: 5 << 20, Pool: pooled(110, 6, 2<<30, formComplete)}
	for b.Loop() {
		Plan(l)
	}
}
