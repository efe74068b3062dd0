package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCodesFollowThePublishedRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{personCode(birth{"Kumar", "Arjun", day(1990, 3, 15), false, "Z222"}), "KMRRJN90C15Z222U"},
		{personCode(birth{"Rahman", "Tasnim", day(1996, 11, 7), true, "Z249"}), "RHMTNM96S47Z249R"},
		{personCode(birth{"Hassan", "Ahmed", day(1984, 1, 31), false, "Z336"}), "HSSHMD84A31Z336W"},
		{personCode(birth{"Fo", "Li", day(2000, 5, 9), true, "Z210"}), "FOXLIX00E49Z210Q"},
		{omocodic("KMRRJN90C15Z222U", 1), "KMRRJN90C15Z22NJ"},
		{omocodic("KMRRJN90C15Z222U", 7), "KMRRJNVLCMRZNNNP"},
		{elevenCode(636339, 100), "06363391001"},
		{elevenCode(1234567, 890), "12345678903"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestCastIsLargeAndEachMemberIsOneOfAKind(t *testing.T) {
	t.Parallel()
	cast := Cast()
	if len(cast) < 300 {
		t.Errorf("the cast has %d members, want at least 300", len(cast))
	}
	subjects, ids, vats := map[string]string{}, map[string]bool{}, map[string]string{}
	for _, m := range cast {
		key := m.CodiceFiscale + m.Capacity
		if other, ok := subjects[key]; ok {
			t.Errorf("%s and %s are the same subject in the same capacity", other, m.ID)
		}
		subjects[key] = m.ID
		if ids[m.ID] {
			t.Errorf("id %s twice", m.ID)
		}
		ids[m.ID] = true
		if m.PartitaIVA != "" {
			if cf, ok := vats[m.PartitaIVA]; ok && cf != m.CodiceFiscale {
				t.Errorf("%s shares its partita IVA with another subject", m.ID)
			}
			vats[m.PartitaIVA] = m.CodiceFiscale
		}
		if m.Name == "" || m.Story == "" {
			t.Errorf("%s has no name or no story", m.ID)
		}
	}
}

func TestWhoSharesACodeIsTheSameInEveryRegister(t *testing.T) {
	t.Parallel()
	for _, m := range Cast() {
		first, ok := ByCode(strings.ToLower(m.CodiceFiscale))
		if !ok {
			t.Fatalf("%s is not found by its code", m.ID)
		}
		if fmt.Sprint(first.INAD, first.Quirk) != fmt.Sprint(m.INAD, m.Quirk) || first.INIPEC != m.INIPEC {
			t.Errorf("%s and %s share a code but not what the registers hold", first.ID, m.ID)
		}
	}
}

func TestAddressesBelongToOneSubjectAndSelectTheOutcomeTheirStoryTells(t *testing.T) {
	t.Parallel()
	owner := map[string]string{}
	for _, m := range Cast() {
		var addresses []string
		for _, d := range m.INAD {
			addresses = append(addresses, d.Address)
		}
		if m.INIPEC != nil {
			addresses = append(addresses, m.INIPEC.Professionals...)
			if m.INIPEC.Enterprise != "" {
				addresses = append(addresses, m.INIPEC.Enterprise)
			}
		}
		for _, a := range addresses {
			if o, ok := owner[a]; ok && o != m.CodiceFiscale {
				t.Errorf("an address of %s belongs to another subject too", m.ID)
			}
			owner[a] = m.CodiceFiscale
			word, _, _ := strings.Cut(strings.SplitN(a, "@", 2)[0], ".")
			outcome, told := strings.CutPrefix(m.Story, "mailbox-")
			if slices.Contains(Outcomes(), word) != (told && slices.Contains(Outcomes(), outcome)) {
				t.Errorf("%s (%s): address and story disagree about the outcome", m.ID, m.Story)
			}
		}
	}
}

func TestEveryStoryHasItsTeller(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	for story, rule := range map[string]func(Member) bool{
		"company-without-pec":       func(m Member) bool { return len(m.INAD) == 1 && m.INIPEC.Enterprise == "" },
		"company-codes-differ":      func(m Member) bool { return m.CodiceFiscale != m.PartitaIVA && m.INIPEC.Enterprise != "" },
		"sole-trader-as-person":     func(m Member) bool { return len(m.INAD) == 1 && m.INIPEC.Enterprise != m.INAD[0].Address },
		"lawyer-hiring-a-carer":     func(m Member) bool { return len(m.INIPEC.Professionals) == 2 && len(m.INAD) == 1 },
		"personal-and-professional": func(m Member) bool { return len(m.InForce(now)) == 3 },
		"ceased-domicile":           func(m Member) bool { return len(m.INAD) == 1 && len(m.InForce(now)) == 0 },
		"ceasing-domicile":          func(m Member) bool { return len(m.InForce(now)) == 1 && !m.INAD[0].Until.IsZero() },
		"changed-domicile":          func(m Member) bool { return len(m.INAD) == 2 && len(m.InForce(now)) == 1 },
		"no-domicile":               func(m Member) bool { return len(m.INAD) == 0 },
		"provisional-code":          func(m Member) bool { return len(m.CodiceFiscale) == 11 && m.Capacity == Person },
	} {
		if !rule(Who(story)) {
			t.Errorf("%s does not tell its story", story)
		}
	}
	if len(Stories(Cast())) < 40 {
		t.Errorf("%d stories, want at least 40", len(Stories(Cast())))
	}
}
