package contracttest_test

import (
	"testing"

	"raccordo/contracts/contracttest"
)

func TestCasesThatApplyWhereTheyShouldNotAreSeen(t *testing.T) {
	t.Parallel()
	cases := []contracttest.Case{{Name: "read-one"}, {Name: "write-one", Absent: "no story"}, {Name: "read-two", Absent: "no story"}}
	for name, c := range map[string]struct {
		judge func(t contracttest.TB)
		fits  bool
	}{
		"as many as are missing":   {func(t contracttest.TB) { contracttest.WantAbsent(t, cases, 2) }, true},
		"fewer than are missing":   {func(t contracttest.TB) { contracttest.WantAbsent(t, cases, 3) }, false},
		"nothing of what is not":   {func(t contracttest.TB) { contracttest.WantUnasked(t, cases, "write") }, true},
		"something of what is not": {func(t contracttest.TB) { contracttest.WantUnasked(t, cases, "write", "read") }, false},
	} {
		r := &recorder{}
		c.judge(r)
		if (len(r.said) == 0) != c.fits {
			t.Errorf("%s: said %q", name, r.said)
		}
	}
}
