package contracts

import "fmt"

// A Finding is a far side's answer to a question of yes or no. There are three: who asks must be able to tell a "no",
// which may shut somebody out, from "nobody can say". The zero value is CannotTell, so that what was forgotten, lost or
// not understood is never a "no". A technical fault is no Finding at all but an error.
type Finding uint8

// The findings.
const (
	CannotTell Finding = iota // the far side answered, and its answer decides nothing
	Yes
	No // with authority
)

var findingNames = [...]string{"cannot_tell", "yes", "no"}

// FindingOf is Yes or No.
func FindingOf(yes bool) Finding {
	if yes {
		return Yes
	}
	return No
}

// String is the stable name: "yes", "no" or "cannot_tell".
func (f Finding) String() string {
	if int(f) < len(findingNames) {
		return findingNames[f]
	}
	return fmt.Sprintf("finding(%d)", uint8(f))
}

// MarshalText writes the stable name.
func (f Finding) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the stable name; an unknown name is an error.
func (f *Finding) UnmarshalText(text []byte) error {
	for i, name := range findingNames {
		if name == string(text) {
			*f = Finding(i)
			return nil
		}
	}
	return fmt.Errorf("unknown finding %q: want yes, no or cannot_tell", text)
}
