package pec

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A step is one thing a provider will do about a message, at its time. The index is its name in the log.
type step struct {
	index  int
	at     time.Time
	kind   Kind
	reason Reason
	code   string // leading part of errore-esteso: the enhanced status code
	text   string
	to     recipient
	sender bool // signed by the sender's provider although it is about a recipient
	copies int

	stories []string // told of this document alone
	again   string   // another identificativo: a second acceptance
	foreign bool     // about a message of another client
	dress   Kind     // what the outer header says it is; empty: what it is
}

// tells is whether a story shapes this document.
func (st step) tells(story string) bool { return slices.Contains(st.stories, story) }

// accepts is whether the step says what becomes of the message at the access point.
func (st step) accepts() bool { return st.kind == Acceptance || st.kind == NonAcceptance }

// plan lists what will happen, in order of time. It depends on the submission alone.
func (s *submission) plan() []step {
	var steps []step
	add := func(after time.Duration, st step) {
		st.at, st.index, st.copies = s.At.Add(after), len(steps), 1
		if s.bears("dup") {
			st.copies = 2
		}
		if s.bears("header") && !st.tells("replay") {
			st.dress = contrary(st.kind)
			if st.dress != "" {
				st.stories = append(st.stories, "header")
			}
		}
		steps = append(steps, st)
	}
	if s.Refused != "" {
		code, text, _ := strings.Cut(s.Detail, " ")
		add(0, step{kind: NonAcceptance, reason: s.Refused, code: code, text: text, sender: true})
		return steps
	}
	if s.bears("mute") {
		return nil
	}
	if !s.bears("noacceptreceipt") {
		s.accepted(add)
	}
	if s.bears("foreign") {
		add(s.Delay, step{kind: Acceptance, reason: NoError, sender: true, foreign: true, stories: []string{"foreign"}})
		add(s.Delay, step{kind: Delivery, reason: NoError, foreign: true, stories: []string{"foreign"}, to: s.Recipients[0]})
	}
	for _, r := range s.Recipients {
		if r.Ordinary {
			if r.Story == "bounce" {
				add(time.Minute, step{kind: Anomaly, to: r, sender: true, stories: []string{"bounce"}})
			}
			continue
		}
		s.story(r, add)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
	return steps
}

// accepted plans the acceptance, however it comes.
func (s *submission) accepted(add func(time.Duration, step)) {
	var after time.Duration
	if s.bears("reorder") {
		after = s.Delay + time.Second
	}
	st := step{kind: Acceptance, reason: NoError, sender: true}
	if s.bears("othersigner") {
		st.stories = append(st.stories, "othersigner")
	}
	add(after, st)
	if s.bears("twoaccept") {
		again := st
		again.again, again.stories = "1"+s.ID, append(slices.Clone(st.stories), "twoaccept")
		add(after, again)
	}
	if s.bears("replay") {
		again := st
		again.dress, again.stories = Delivery, append(slices.Clone(st.stories), "replay")
		add(after+s.Delay, again)
	}
}

// contrary is the kind that turns an outcome around.
func contrary(k Kind) Kind {
	switch k {
	case Delivery:
		return DeliveryError
	case DeliveryError, Notice:
		return Delivery
	}
	return ""
}

// story plans what happens to one certified recipient.
func (s *submission) story(r recipient, add func(time.Duration, step)) {
	deliver := step{kind: Delivery, reason: NoError, to: r}
	fail := func(reason Reason, code, text string) step {
		return step{kind: DeliveryError, reason: reason, code: code, text: text, to: r}
	}
	// RFC 6109 has the first notice after 12 hours without any sign of the other side, the second after 24.
	first := step{kind: Notice, reason: Other, code: "4.4.7", text: "il messaggio non risulta consegnato nelle prime dodici ore", to: r, sender: true}
	second := step{kind: Notice, reason: Other, code: "5.4.1", text: "il messaggio non risulta consegnato nelle ventiquattro ore", to: r, sender: true}
	if _, ok := hostOf(r.Address); !ok {
		st := fail(NoDomain, "5.1.2", "dominio inesistente")
		st.sender = true
		add(s.Delay, st)
		return
	}
	soon := s.Delay
	if s.bears("replay") {
		soon += time.Hour
	}
	virus := fail(Virus, "5.7.1", "rilevato Test.Signature")
	virus.sender = true
	switch r.Story {
	case "nodest":
		add(soon, fail(NoMailbox, "5.1.1", "indirizzo non valido"))
	case "full":
		add(soon, fail(Other, "5.2.2", "casella piena"))
	case "toobig":
		add(soon, fail(Other, "5.2.3", "messaggio troppo grande per la casella"))
	case "virus":
		add(soon, virus)
	case "strayvirus":
		add(soon, step{kind: VirusFound, reason: Virus, code: "5.7.1", text: "rilevato Test.Signature", to: r, stories: []string{r.Story}})
		add(soon, virus)
	case "charge":
		add(soon, step{kind: TakingCharge, reason: NoError, to: r, stories: []string{r.Story}})
		add(soon, deliver)
	case "slow":
		add(3*time.Hour, deliver)
	case "timeout12":
		add(12*time.Hour, first)
		add(15*time.Hour, deliver)
	case "timeout24":
		add(12*time.Hour, first)
		add(24*time.Hour, second)
	case "only24":
		add(24*time.Hour, second)
	case "late":
		add(24*time.Hour, second)
		add(30*time.Hour, deliver)
	case "errafter":
		add(soon, deliver)
		add(soon+time.Hour, fail(Other, "5.2.2", "casella piena"))
	case "delafter":
		add(soon, fail(Other, "5.2.2", "casella piena"))
		add(soon+time.Hour, deliver)
	case "unknowntipo", "huge", "pecinpec":
		deliver.stories = []string{r.Story}
		add(soon, deliver)
	case "unknownerrore":
		st := fail("mistero", "5.9.9", "motivo che nessuno conosce")
		st.stories = []string{r.Story}
		add(soon, st)
	case "never":
	default:
		add(soon, deliver)
	}
}
