package evidence

import (
	"bytes"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"raccordo/contracts"
)

// ticket checks all that is told of one ticket against the ledger and the receipts themselves.
func (v *verifier) ticket(t *Ticket) {
	if t.Dir != "" && !validName(t.Dir) {
		v.Fault("ticket %q: its folder has no name of ours", t.ID)
		return
	}
	v.chained(t)
	story := v.story(t)
	v.messages(t)
	v.receipts(t, story)
	v.missing(t, story)
	for _, voice := range voices() {
		name := path.Join(t.Dir, voice.file)
		want, err := voice.tell(v.m, *t)
		if err != nil {
			v.Fault("%s: %v", name, err)
			continue
		}
		if have, err := v.read(name, maxText); err == nil && !bytes.Equal(have, want) {
			v.Fault("%s: does not tell what the evidence says", name)
		}
	}
}

// chained checks that the manifest's entries are those of the ledger, all of them.
func (v *verifier) chained(t *Ticket) {
	var want []contracts.Entry
	for _, seq := range slices.Sorted(maps.Keys(v.entries)) {
		if e := v.entries[seq]; belongs(e, t.ID, v.m.Begun.Seq) {
			want = append(want, e)
		}
	}
	if len(want) == 0 || want[0].Phase != contracts.PhaseSubmitted {
		v.Fault("ticket %s: the beginning of its entries is missing: the ledger's segments were dropped", t.ID)
	}
	if !same(t.Entries, want) {
		v.Fault("ticket %s: its entries in %s are not those of the ledger", t.ID, manifestName)
		t.Entries = want // by which all else is judged
	}
}

func (v *verifier) story(t *Ticket) (story []contracts.Event) {
	name := path.Join(t.Dir, "story.json")
	text, err := v.read(name, maxText)
	if err != nil {
		return nil // said before
	}
	if err := json.Unmarshal(text, &story); err != nil {
		v.Fault("%s: cannot be read: %v", name, err)
		return nil
	}
	for _, e := range story {
		if e.Ref != t.ID {
			v.Fault("%s: event %d is about another ticket", name, e.Seq)
		}
		if len(e.Proof) == 0 {
			continue
		}
		if !slices.ContainsFunc(t.Entries, func(x contracts.Entry) bool { return knows(x, e) }) {
			v.Fault("%s: the ledger does not know event %d", name, e.Seq)
		}
	}
	return story
}

// messages checks that what is said to have been sent is what the ledger says was.
func (v *verifier) messages(t *Ticket) {
	sent := sentSums(t.Entries)
	for _, m := range t.Messages {
		if m.File != "" && v.sums[m.File] != m.Sum {
			v.Fault("%s: is not the message of which %s tells", m.File, manifestName)
		}
		if !slices.Contains(sent, m.Sum) {
			if len(sent) > 0 {
				v.Fault("ticket %s: the ledger does not say that the message sha256 %s was sent", t.ID, m.Sum)
				continue
			}
			v.Note("ticket %s: the ledger tells of no attempt to send the message sha256 %s: it has not left, or the hub stopped at that very moment", t.ID, m.Sum)
		}
		if m.File == "" {
			continue
		}
		if b, err := v.read(m.File, maxReceipt); err == nil {
			if id, subject := header(b); id != m.MessageID || subject != m.Subject {
				v.Fault("%s: its Message-ID or subject is not what %s says", m.File, manifestName)
			}
		}
	}
	for _, sum := range sent {
		if !slices.ContainsFunc(t.Messages, func(m Message) bool { return m.Sum == sum }) {
			v.Fault("ticket %s: the ledger tells of a message sha256 %s, which is not mentioned", t.ID, sum)
		}
	}
}

// receipts checks each receipt: that the ledger knows it, and that it says what the manifest says it does.
func (v *verifier) receipts(t *Ticket, story []contracts.Event) {
	want := receiptsOf(t.Entries, story)
	if len(want) != len(t.Receipts) {
		v.Fault("ticket %s: the ledger knows %d receipts, %s %d", t.ID, len(want), manifestName, len(t.Receipts))
		return
	}
	for i := range want {
		have := t.Receipts[i]
		bare := have
		bare.File, bare.Commands, bare.Inside = "", nil, nil
		if !same(bare, want[i]) {
			v.Fault("ticket %s: receipt %d in %s is not the one of ledger and story", t.ID, i+1, manifestName)
		}
		if have.File == "" {
			continue
		}
		if v.sums[have.File] != want[i].Sum {
			v.Fault("%s: is not the receipt that the ledger knows", have.File)
		}
		raw, err := v.read(have.File, maxReceipt)
		if err != nil {
			v.Fault("%s: %v", have.File, err)
			continue
		}
		var taken []File
		for _, in := range inside(raw) {
			taken = append(taken, File{innerName(have.File, in), int64(len(in.bytes)), contracts.SumOf(in.bytes)})
		}
		if !slices.Equal(have.Inside, taken) {
			v.Fault("%s: what %s says is inside is not", have.File, manifestName)
		}
		for _, f := range taken {
			if v.sums[f.Path] != f.Sum {
				v.Fault("%s: is not what is inside %s", f.Path, have.File)
			}
		}
		head := raw[:min(len(raw), scanHead)]
		if !slices.Equal(have.Commands, commands(have, signed(head))) {
			v.Fault("%s: the commands in %s are not ours", have.File, manifestName)
		}
		v.receipt(t, have, raw)
	}
}

// receipt lets the scheme read a receipt and compares.
func (v *verifier) receipt(t *Ticket, r Receipt, raw []byte) {
	told := r.Evidence
	if told == nil {
		v.Note("%s: was set aside by the hub, and is not checked", r.File)
		return
	}
	scheme, ok := v.trust.Schemes[told.Scheme]
	if !ok {
		v.Fault("%s: this program cannot check the scheme %s", r.File, quoted(told.Scheme))
		return
	}
	at := r.Received
	if at.IsZero() {
		at = told.SeenAt
	}
	said, err := scheme.Read(raw, at)
	if err != nil {
		v.Fault("%s: cannot be read: %v", r.File, err)
		return
	}
	v.Receipts++
	switch {
	case told.Counts && !said.Counts:
		v.Fault("%s: %s says %s, and its signature check gives %s %s", r.File, manifestName, told.Verdict, said.Verdict, said.Doubt)
	case told.Counts && said.Verdict != told.Verdict:
		v.Note("%s: the hub noted %s, here it is %s", r.File, told.Verdict, said.Verdict)
	case !told.Counts:
		v.Note("%s: does not count: the hub noted %s %s, here it is %s", r.File, told.Verdict, told.Doubt, said.Verdict)
	}
	for _, what := range differences(*told, said) {
		v.Fault("%s: says otherwise than %s: %s", r.File, manifestName, what)
	}
	switch ours := strings.Contains(strings.ToLower(said.Message), strings.ToLower(t.ID)); {
	case !told.Counts:
	case ours && said.Kind == contracts.SubmissionAcceptance:
		v.named[said.ID] = t.ID
	case said.Message == "" && v.named[said.ID] != t.ID: // as the fold has it: the submission's name must be known
		v.Fault("%s: names no message, and a submission that no acceptance here has named", r.File)
	case said.Message != "" && !ours:
		v.Fault("%s: is about a message that is not this ticket's", r.File)
	}
	v.match(t, r, raw, said, scheme)
}

// match checks that receipt and message are of one another.
func (v *verifier) match(t *Ticket, r Receipt, raw []byte, said contracts.Evidence, scheme Scheme) {
	for _, m := range t.Messages {
		if m.File == "" || !r.Evidence.Counts || said.Message != "" && !strings.EqualFold(m.MessageID, said.Message) {
			continue
		}
		if scheme.Match == nil {
			return
		}
		message, err := v.read(m.File, maxReceipt)
		if err != nil {
			return // said before
		}
		switch found := scheme.Match(raw, message); {
		case found.Result == "":
		case found.Fault:
			v.Fault("%s: %s: what it returns is not %s: %s", r.File, found.Result, m.File, found.Detail)
		default:
			v.Note("%s: %s with %s %s", r.File, found.Result, m.File, found.Detail)
		}
		return
	}
	if r.Evidence.Counts && slices.ContainsFunc(t.Messages, func(m Message) bool { return m.File != "" }) {
		v.Fault("%s: is about none of the messages here", r.File)
	}
}

// differences names the facts in which a receipt says otherwise than was told of it. What depends on the hub's settings
// (whether it counts, why not) is not among them.
func differences(told, said contracts.Evidence) (what []string) {
	differ := func(name string, same bool) {
		if !same {
			what = append(what, name)
		}
	}
	bare := func(s string) string { return strings.Trim(strings.TrimSpace(s), "<>") }
	second := func(t time.Time) int64 { return t.Unix() }
	differ("kind", told.Kind == said.Kind)
	differ("message", strings.EqualFold(bare(told.Message), bare(said.Message)))
	differ("identifier", told.ID == said.ID)
	differ("instant", second(told.IssuedAt) == second(said.IssuedAt))
	differ("issuer", told.Issuer == said.Issuer)
	differ("signer", strings.EqualFold(told.Signer, said.Signer))
	differ("recipient", told.About.Equal(said.About))
	differ("recipients", equal(told.Recipients, said.Recipients))
	differ("ordinary recipients", equal(told.Uncertified, said.Uncertified))
	return what
}

func equal(a, b []contracts.Address) bool {
	return slices.EqualFunc(a, b, contracts.Address.Equal)
}

// missing checks that what is not here is said to be, and tells of what leaves the export incomplete.
func (v *verifier) missing(t *Ticket, story []contracts.Event) {
	absent := map[contracts.Sum]bool{}
	for _, m := range t.Messages {
		absent[m.Sum] = absent[m.Sum] || m.File == ""
	}
	for _, r := range t.Receipts {
		absent[r.Sum] = absent[r.Sum] || r.File == ""
	}
	for _, m := range t.Missing {
		if m.Why.incomplete() {
			v.Fault("ticket %s: incomplete: %s %s: %s", t.ID, m.What, m.Sum, english().why[m.Why])
		} else {
			v.Note("ticket %s: %s: %s", t.ID, m.What, english().why[m.Why])
		}
		if !m.Sum.IsZero() && !absent[m.Sum] {
			v.Fault("ticket %s: %s is said to be missing, and is not", t.ID, m.Sum)
		}
		delete(absent, m.Sum)
	}
	for sum, gone := range absent {
		if gone {
			v.Fault("ticket %s: %s is not here, and not said to be missing", t.ID, sum)
		}
	}
	again := Ticket{Messages: t.Messages, Entries: t.Entries}
	again.silence(story)
	for _, m := range again.Missing {
		if !slices.Contains(t.Missing, m) {
			v.Fault("ticket %s: that %s is missing (%s) is not said", t.ID, m.What, m.Why)
		}
	}
}
