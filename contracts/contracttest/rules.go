package contracttest

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"raccordo/contracts"
)

const maxErrorText = 600 // bytes: an error is a line, not a page of the peer's HTML

// lookalikes are shapes that only personal data has: a codice fiscale, eleven digits, an address.
var lookalikes = map[string]*regexp.Regexp{
	"a codice fiscale": regexp.MustCompile(`(?i)\b[A-Z]{6}[0-9LMNPQRSTUV]{2}[A-EHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z]\b`),
	"eleven digits":    regexp.MustCompile(`\b[0-9]{11}\b`),
	"an address":       regexp.MustCompile(`[A-Za-z0-9._+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+`),
}

// ErrorFaults says what is wrong with an error as it reaches a caller: nothing, when it obeys the rules. op is the
// operation that was asked.
func ErrorFaults(err error, op string) []string {
	var e *contracts.Error
	if !errors.As(err, &e) {
		return []string{"the error is not a *contracts.Error: callers branch on its Kind"}
	}
	var faults []string
	add := func(s string) { faults = append(faults, s) }
	if !slices.Contains(contracts.AllKinds(), e.Kind) {
		add("the Kind is none of the known ones")
	}
	if e.System == "" {
		add("System is empty: nobody knows whose fault it is")
	}
	if e.Operation != op {
		add("Operation is " + quoteShape(e.Operation) + ", want " + op)
	}
	if e.Kind == contracts.Throttled && e.After <= 0 {
		add("Throttled without After: the caller must guess when to come back")
	}
	if e.Kind == contracts.Pending && e.Ticket == "" {
		add("Pending without Ticket: the caller does not know where to ask")
	}
	if e.Kind == contracts.Internal {
		add("Internal: the adapter did not choose a Kind")
	}
	text := e.Error()
	for what, re := range lookalikes {
		if re.MatchString(text) {
			add("the text holds something shaped like " + what)
		}
	}
	if len(text) > maxErrorText {
		add("the text is longer than a line")
	}
	if strings.IndexFunc(text, unicode.IsControl) >= 0 {
		add("the text holds control characters")
	}
	if e.Err != nil {
		if cause := e.Err.Error(); strings.HasSuffix(cause, ".") {
			add("the text ends with a full stop")
		}
	}
	return faults
}

func quoteShape(s string) string {
	if s == "" {
		return "empty"
	}
	return `"` + s + `"`
}

// CheckError records what is wrong with an error that reached a caller. nil is no error.
func CheckError(t *T, err error, op string) {
	if err == nil {
		return
	}
	for _, f := range ErrorFaults(err, op) {
		t.Errorf("error rule: %s (kind %s)", f, contracts.KindOf(err))
	}
}

// WantKind fails unless err obeys the error rules and has one of the kinds.
func WantKind(t *T, err error, op string, kinds ...contracts.Kind) {
	if err == nil {
		t.Errorf("no error, want kind %v", kinds)
		return
	}
	CheckError(t, err, op)
	if got := contracts.KindOf(err); !slices.Contains(kinds, got) {
		t.Errorf("kind %v, want one of %v: %v", got, kinds, err)
	}
}
