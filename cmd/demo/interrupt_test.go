package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"raccordo/contracts"
	"raccordo/mocks/lab"
)

// TestCtrlCTellsWhatWasSettled breaks runs off at many places: what was settled is told, the sums agree, and nothing
// that a provider took is unknown to the core.
func TestCtrlCTellsWhatWasSettled(t *testing.T) {
	t.Parallel()
	some := listOf(t, "company-with-pec", "company-without-pec", "personal-domicile", "no-domicile", "lawyer-as-professional",
		"mailbox-nodest", "mailbox-late", "mailbox-never", "omocodic-code", "body-with-domicile", "provisional-code",
		"born-in-india", "born-in-egypt", "two-addresses", "crowd-company", "crowd-person", "crowd-body", "ceased-domicile")
	seen := func(label string, n int) func(*job, func()) {
		return func(j *job, cancel func()) {
			left := n
			j.bench.Watch(func(e lab.Exchange) {
				if e.Mock+" "+e.Label == label {
					if left--; left == 0 {
						cancel()
					}
				}
			})
		}
	}
	rows := func(n int) func(*job, func()) {
		return func(j *job, cancel func()) {
			left := n
			j.core.tick = func() {
				if left--; left == 0 {
					cancel()
				}
			}
		}
	}
	at := func(d time.Duration) func(*job, func()) {
		return func(j *job, cancel func()) { j.bench.Clock().At(start.Add(d), cancel) }
	}
	for _, c := range []struct {
		where string
		probe func(j *job, cancel func())
	}{
		{"before the first row", func(_ *job, cancel func()) { cancel() }},
		{"at the third row", rows(3)},
		{"at the last row", rows(18)},
		{"at a register's log-in", seen("inipec POST /authentication", 1)},
		{"in the second single question", seen("inad GET /extract/{codice_fiscale}", 2)},
		{"when a list is handed over", seen("inipec POST /richiestaElencoPec", 1)},
		{"when a list is asked after", seen("inipec GET /getElencoPec/{identificativoRichiesta}", 2)},
		{"in the first message, before its 250", seen("pec smtp message", 1)},
		{"in the seventh message", seen("pec smtp message", 7)},
		{"in the middle of reading receipts", seen("pec imap fetch", 3)},
		{"while a message is given up and not yet late", at(26 * time.Hour)},
		{"an hour before the horizon", at(71 * time.Hour)},
	} {
		t.Run(c.where, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := attempt(ctx, options{input: some, json: true, seed: 3, probe: func(j *job) { c.probe(j, cancel) }})
			if r.code != exitInterrupted {
				t.Errorf("exit status %d, want 130: %s", r.code, r.stderr)
			}
			if !strings.Contains(r.stderr, "interrupted: this is what was settled") {
				t.Errorf("standard error %q does not say so", r.stderr)
			}
			r.adds(t)
			byCase := map[string]*row{}
			for _, one := range r.job.core.rows {
				byCase[one.id] = one
			}
			for _, m := range r.taken {
				_, id, _ := strings.Cut(m.Subject, "pratica ")
				one := byCase[id]
				if one == nil || one.message == "" || !one.sent() && one.outcome != uncertain {
					t.Errorf("the provider took a message of %s, of which the core knows nothing: %+v", id, one)
				}
			}
			if sent := r.n(t, "sent"); sent > len(r.taken) {
				t.Errorf("%d are said to be sent, %d were taken", sent, len(r.taken))
			}
			if _, err := os.Stat(r.job.dir); !os.IsNotExist(err) {
				t.Errorf("the working folder was left behind: %v", err)
			}
		})
	}
}

func TestCtrlCBeforeAnythingBegan(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := attempt(ctx, options{input: listOf(t, "company-with-pec"), seed: 1})
	if r.code != exitInterrupted || !strings.Contains(r.stderr, "interrupted") {
		t.Errorf("exit status %d, %q; want 130 and a word about it", r.code, r.stderr)
	}
}

// TestALateDeliveryIsWaitedFor: a message that was given up after 24 hours can still be delivered, also when nothing
// else is left to wait for.
func TestALateDeliveryIsWaitedFor(t *testing.T) {
	t.Parallel()
	r := attempt(t.Context(), options{input: listOf(t, "mailbox-late"), json: true, seed: 1})
	r.adds(t)
	if one := r.job.core.rows[0]; one.outcome != delivered || !one.late() {
		t.Errorf("%s (%s), late %v; want it delivered late", one.outcome, one.reason, one.late())
	}
	if r.code != exitOK {
		t.Errorf("exit status %d: %s", r.code, r.stderr)
	}
}

// TestARegisterThatNeverAnswersLosesNothing: nobody was found, which the row says; that is not a message lost.
func TestARegisterThatNeverAnswersLosesNothing(t *testing.T) {
	t.Parallel()
	r := attempt(t.Context(), options{input: listOf(t, "register-broken", "company-with-pec"), json: true, seed: 1})
	r.adds(t)
	if one := r.job.core.rows[0]; one.outcome != failed || !strings.Contains(one.reason, "inad does not answer") {
		t.Errorf("%s (%s), want it failed for want of an answer", one.outcome, one.reason)
	}
	if r.code != exitOK {
		t.Errorf("exit status %d: %s", r.code, r.stderr)
	}
}

// TestAHubThatStopsIsNotWaitedFor: here it stops since somebody else reads its mailbox's events already.
func TestAHubThatStopsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	r := attempt(t.Context(), options{input: wholeList, json: true, seed: 1, probe: func(j *job) {
		began := make(chan struct{})
		go func() {
			defer close(ended)
			if err := j.hub.Feed().RunSources(ctx, "pec", map[string]contracts.Feeder{"centrale": silence{began}}); err != nil {
				t.Error(err)
			}
		}()
		<-began
	}})
	cancel()
	<-ended
	if r.code != exitFault || !strings.Contains(r.stderr, "the hub stopped working: ") {
		t.Errorf("exit status %d, %q; want 1 and the reason", r.code, r.stderr)
	}
}

// silence is a far side that never tells anything; began is closed when it is first asked.
type silence struct{ began chan struct{} }

func (s silence) Feed(_ context.Context, from contracts.Cursor) ([]contracts.Event, contracts.Cursor, error) {
	select {
	case <-s.began:
	default:
		close(s.began)
	}
	return nil, from, nil
}

func (silence) Every() time.Duration { return time.Hour }
