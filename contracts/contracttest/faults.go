package contracttest

import (
	"raccordo/contracts"
)

// The names of the faults, as a mock's bench knows them.
const (
	Refuse          = "refuse"            // no connection
	Drop            = "drop"              // the connection is lost before anything was done
	DropAfterAccept = "drop-after-accept" // the work is done, the answer is lost
	Truncate        = "truncate"          // the answer breaks off
	Garbage         = "garbage"           // the answer is noise
	Status500       = "500"
	Status503       = "503"
	Throttle        = "throttle"   // too many, too soon
	Slow            = "slow"       // the answer takes long
	Huge            = "huge"       // the answer does not end
	WrongType       = "wrong-type" // the answer is of another media type
	NotAllowed      = "denied"
	StaleVoucher    = "stale-voucher" // the voucher is refused as expired
	BadSignature    = "bad-signature" // the answer's signature does not verify
)

// AllFaults lists every fault, in the order of the matrix.
func AllFaults() []string {
	var all []string
	for _, r := range Matrix() {
		all = append(all, r.Fault)
	}
	return all
}

// A Verdict on success under a fault.
type Verdict uint8

// Whether a call may succeed under a fault.
const (
	May   Verdict = iota // both success and one of the kinds are right
	Must                 // only success is right
	Never                // only one of the kinds is right
)

// An Expect is what a caller may be told.
type Expect struct {
	Success Verdict
	Kinds   []contracts.Kind
}

// A Rule is one row of the fault matrix. NotFound stands in none: silence, noise and refusal are never the answer
// "there is none".
type Rule struct {
	Fault string
	Why   string
	// Worked says that the far side did the work before the fault: a Once must then not be sent again.
	Worked bool
	// ReadOnce is a Read under a fault that happens once, ReadAlways under one that lasts.
	ReadOnce, ReadAlways Expect
	// WriteOnce and WriteAlways are the same for Write and Once: what an effect adds is that an unknown outcome is
	// Uncertain, and that a Once is not repeated.
	WriteOnce, WriteAlways Expect
}

// For gives what is allowed for an effect, under a fault that happens once or lasts.
func (r Rule) For(e contracts.Effect, lasts bool) Expect {
	switch {
	case e == contracts.Read && !lasts:
		return r.ReadOnce
	case e == contracts.Read:
		return r.ReadAlways
	case !lasts:
		return r.WriteOnce
	}
	return r.WriteAlways
}

// Matrix is the table of faults: what each may make of a call.
func Matrix() []Rule {
	const (
		unavailable = contracts.Unavailable
		uncertain   = contracts.Uncertain
		malformed   = contracts.Malformed
		throttled   = contracts.Throttled
		denied      = contracts.Denied
		canceled    = contracts.Canceled
	)
	succeeds := Expect{Success: Must}
	never := func(k ...contracts.Kind) Expect { return Expect{Never, k} }
	may := func(k ...contracts.Kind) Expect { return Expect{May, k} }
	return []Rule{
		{
			Fault: Refuse, Why: "nothing has left: a read is tried again, a write may be",
			ReadOnce: succeeds, ReadAlways: never(unavailable),
			WriteOnce: may(unavailable), WriteAlways: never(unavailable),
		},
		{
			Fault: Drop, Why: "a lost connection is a technical fault: a read is tried again, a write is unknown unless the adapter can prove that it was not taken",
			ReadOnce: succeeds, ReadAlways: never(unavailable),
			WriteOnce: may(unavailable, uncertain), WriteAlways: never(unavailable, uncertain),
		},
		{
			Fault: DropAfterAccept, Why: "the work was done and only the answer is lost: a write is settled or Uncertain, never sent twice", Worked: true,
			ReadOnce: succeeds, ReadAlways: never(unavailable),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
		{
			Fault: Truncate, Why: "half an answer is no answer, and half a list is not a shorter list", Worked: true,
			ReadOnce: may(malformed, unavailable), ReadAlways: never(malformed, unavailable),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
		{
			Fault: Garbage, Why: "noise is Malformed, never an empty answer", Worked: true,
			ReadOnce: may(malformed), ReadAlways: never(malformed),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
		{
			Fault: Status500, Why: "a broken system is unavailable; it has not said that there is none",
			ReadOnce: succeeds, ReadAlways: never(unavailable),
			WriteOnce: may(unavailable, uncertain), WriteAlways: never(unavailable, uncertain),
		},
		{
			Fault: Status503, Why: "a system that is down comes back: a read is tried again",
			ReadOnce: succeeds, ReadAlways: never(unavailable),
			WriteOnce: may(unavailable, uncertain), WriteAlways: never(unavailable, uncertain),
		},
		{
			Fault: Throttle, Why: "who is told to come back later must be told when",
			ReadOnce: may(throttled), ReadAlways: never(throttled),
			WriteOnce: may(throttled), WriteAlways: never(throttled),
		},
		{
			Fault: Slow, Why: "a slow answer must not hold the caller beyond its deadline", Worked: true,
			ReadOnce: may(unavailable, canceled), ReadAlways: may(unavailable, canceled),
			WriteOnce: may(unavailable, uncertain, canceled), WriteAlways: may(unavailable, uncertain, canceled),
		},
		{
			Fault: Huge, Why: "an answer without end must be cut off, not read into memory", Worked: true,
			ReadOnce: may(malformed), ReadAlways: never(malformed),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
		{
			Fault: WrongType, Why: "a page of HTML with status 200 is a proxy speaking, not the register", Worked: true,
			ReadOnce: may(malformed), ReadAlways: never(malformed),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
		{
			Fault: NotAllowed, Why: "a refusal of rights is an operator's matter; repeating it locks accounts",
			ReadOnce: may(denied), ReadAlways: never(denied),
			WriteOnce: may(denied), WriteAlways: never(denied),
		},
		{
			Fault: StaleVoucher, Why: "a voucher refused as expired is renewed once; refused again, it is Denied",
			ReadOnce: succeeds, ReadAlways: never(denied),
			WriteOnce: may(denied), WriteAlways: never(denied),
		},
		{
			Fault: BadSignature, Why: "an answer that anybody could have written must not be believed", Worked: true,
			ReadOnce: may(malformed), ReadAlways: never(malformed),
			WriteOnce: may(uncertain), WriteAlways: may(uncertain),
		},
	}
}
