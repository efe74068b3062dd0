package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"raccordo/contracts"
)

// A line of a timeline: one fact.
type line struct {
	at   time.Time
	seq  uint64
	what string // in plain words, with what it means
	by   string // who attests it
	file string // what proves it
}

// tell writes a ticket's timeline in a voice's language.
func (v *voice) tell(m Manifest, t Ticket) ([]byte, error) {
	rome, err := time.LoadLocation("Europe/Rome")
	if err != nil {
		return nil, fmt.Errorf("evidence: timeline: %w", err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\n", v.title)
	v.head(&out, t)
	fmt.Fprintf(&out, "%s\n\n", v.columns)
	for _, l := range v.lines(m, t) {
		fmt.Fprintf(&out, "%s = %s | %s | %s: %s | %s: %s\n", l.at.In(rome).Format("2006-01-02 15:04:05 MST (-07:00)"),
			l.at.UTC().Format("2006-01-02 15:04:05 UTC"), l.what, v.attested, l.by, v.proof, l.file)
	}
	if len(t.Missing) > 0 {
		fmt.Fprintf(&out, "\n%s\n\n", v.lacks)
	}
	for _, miss := range t.Missing {
		fmt.Fprintf(&out, "- %s", v.why[miss.Why])
		if !miss.Sum.IsZero() {
			fmt.Fprintf(&out, " (sha256 %s)", miss.Sum)
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

func (v *voice) head(out *bytes.Buffer, t Ticket) {
	fmt.Fprintf(out, "%s: %s\n", v.ticket, quoted(t.ID))
	if kase := caseOf(t); kase != "" {
		fmt.Fprintf(out, "%s: %s\n", v.kase, quoted(kase))
	}
	if t.State != "" {
		fmt.Fprintf(out, "%s: %s\n", v.state, v.states[t.State])
	}
	for _, m := range t.Messages {
		if m.Subject != "" {
			fmt.Fprintf(out, "%s: %s\n", v.subject, quoted(m.Subject))
		}
		if m.MessageID != "" {
			fmt.Fprintf(out, "Message-ID: %s\n", quoted(m.MessageID))
		}
		fmt.Fprintf(out, "%s: sha256 %s\n", v.message, m.Sum)
	}
	out.WriteByte('\n')
}

func caseOf(t Ticket) string {
	for _, e := range t.Entries {
		if e.Caller.Case != "" {
			return e.Caller.Case
		}
	}
	return ""
}

// lines gives the facts in the order in which they happened, by whoever attests each. Receipts tell the second and no more:
// within one, facts stand in the order in which they were entered.
func (v *voice) lines(m Manifest, t Ticket) (all []line) {
	for _, e := range t.Entries {
		all = append(all, v.entry(e, t)...)
	}
	for _, r := range t.Receipts {
		all = append(all, v.receipt(r, t))
	}
	all = append(all, line{m.Begun.At, m.Begun.Seq, fmt.Sprintf(v.exported, quoted(m.Operator), quoted(m.Reason)), v.us, v.book(m.Begun.Seq)})
	slices.SortStableFunc(all, func(a, b line) int {
		return cmp.Or(a.at.Truncate(time.Second).Compare(b.at.Truncate(time.Second)), cmp.Compare(a.seq, b.seq))
	})
	return all
}

func (v *voice) book(seq uint64) string { return fmt.Sprintf(v.entryNo, seq) }

// entry tells what a ledger entry proves; receipts tell for themselves.
func (v *voice) entry(e contracts.Entry, t Ticket) (all []line) {
	add := func(at time.Time, format string, args ...any) {
		all = append(all, line{at, e.Seq, fmt.Sprintf(format, args...), v.us, v.book(e.Seq)})
	}
	switch e.Phase {
	case contracts.PhaseSubmitted:
		add(e.At, v.submitted, quoted(e.Op), quoted(e.Caller.Service), quoted(e.Caller.Purpose))
	case contracts.PhaseIntent:
		add(e.At, v.intent, quoted(e.System))
	case contracts.PhaseOperator:
		add(e.At, v.operator, quoted(e.Caller.User), quoted(e.Outcome), quoted(e.Reason))
	case contracts.PhaseOutcome:
		for _, a := range e.Attempts {
			words := v.unsent
			if a.Sent {
				words = v.sent
			}
			add(a.At, words, quoted(e.System), quoted(a.Status), quoted(a.RemoteID), digest(a.RequestSum))
		}
		switch {
		case e.Outcome == contracts.Uncertain.String():
			add(e.At, "%s", v.uncertain)
		case e.Outcome != "ok":
			add(e.At, v.refused, quoted(e.Outcome))
		case len(e.Attempts) == 0: // a doubt was resolved, or a list was answered
			add(e.At, v.answered, quoted(e.Reason))
		}
	case contracts.PhaseEvent:
		if !slices.ContainsFunc(t.Receipts, func(r Receipt) bool { return slices.Contains(e.Proof, r.Sum) }) {
			add(e.At, v.event, quoted(e.System), quoted(e.Outcome))
		}
	}
	return all
}

// receipt tells what a receipt attests and what that means.
func (v *voice) receipt(r Receipt, t Ticket) line {
	l := line{seq: r.Entry, by: v.us, file: r.File}
	if l.file == "" {
		l.file = v.nofile
	}
	l.file += ", " + v.book(r.Entry)
	for _, e := range t.Entries {
		if e.Seq == r.Entry {
			l.at = e.At
		}
	}
	ev := r.Evidence
	if ev == nil || r.Aside {
		l.what = fmt.Sprintf(v.aside, quoted(r.Kind))
		return l
	}
	if !ev.Counts || v.kinds[ev.Kind] == "" {
		l.what = fmt.Sprintf(v.doubted, quoted(r.Kind), quoted(ev.Verdict), quoted(ev.Doubt))
		return l
	}
	l.at, l.by = ev.IssuedAt, fmt.Sprintf(v.issuer, quoted(ev.Issuer), quoted(ev.Signer), quoted(ev.Verdict))
	l.what = v.kinds[ev.Kind]
	if !ev.About.IsZero() {
		l.what += fmt.Sprintf(v.about, quoted(ev.About.Reveal()))
	}
	for i, a := range ev.Recipients {
		if i == 0 {
			l.what += v.to
		} else {
			l.what += ","
		}
		l.what += " " + quoted(a.Reveal())
		if slices.ContainsFunc(ev.Uncertified, a.Equal) {
			l.what += v.ordinary
		}
		if i == len(ev.Recipients)-1 {
			l.what += v.end
		}
	}
	if ev.Reason != "" || ev.Code != "" {
		l.what += fmt.Sprintf(v.reason, quoted(ev.Reason), quoted(ev.Code))
	}
	if ev.Generation > 1 {
		l.what += fmt.Sprintf(v.again, ev.Generation)
	}
	l.what += fmt.Sprintf(v.id, quoted(ev.ID))
	return l
}

// nothing stands where there is nothing to show.
const nothing = "–"

func digest(sum contracts.Sum) string {
	if sum.IsZero() {
		return nothing
	}
	return sum.String()
}

// maxQuoted bounds foreign text in a line, in characters.
const maxQuoted = 300

// quoted is foreign text that does no harm where it is shown: one line, no control or direction characters, nothing that
// begins a formula or another column.
func quoted(s string) string {
	if s == "" {
		return nothing
	}
	var out strings.Builder
	out.WriteString("«")
	n := 0
	for _, r := range s {
		if n++; n > maxQuoted {
			out.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError || r == '|' || r == '«' || r == '»' || r != ' ' && unicode.IsSpace(r) || !unicode.IsGraphic(r):
			text := strconv.QuoteRuneToASCII(r)
			if r < utf8.RuneSelf && unicode.IsPrint(r) {
				text = fmt.Sprintf(`'\x%02x'`, r)
			}
			out.WriteString(strings.Trim(text, "'"))
		default:
			out.WriteRune(r)
		}
	}
	out.WriteString("»")
	return out.String()
}
