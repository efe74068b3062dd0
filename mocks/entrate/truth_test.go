package entrate

import "testing"

// TestTheTruthIsWhatAnHonestReaderConcludes: an answer that is none, or that contradicts itself, is nobody's "no".
func TestTheTruthIsWhatAnHonestReaderConcludes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for story, usable := range map[string]bool{
		"personal-domicile": true, "entrate-code-valid-superseded": true, "entrate-code-superseded": false, strange: false,
		"entrate-code-words-no": true, "entrate-code-contradiction": true, "entrate-code-contradiction-yes": true,
		"entrate-code-nothing": true, "entrate-code-500": true,
	} {
		if got := s.m.Usable(s.b.Who(story).CodiceFiscale); got != usable {
			t.Errorf("%s: usable %v", story, got)
		}
	}
	for story, operates := range map[string]bool{
		"company-with-pec": true, "entrate-vat-ceased": false, "entrate-vat-suspended-undated": false, "entrate-vat-unassigned": false,
		"entrate-vat-group": true, "entrate-vat-words": true, "entrate-vat-contradiction": true, "entrate-vat-nothing": true, "entrate-vat-503": true,
	} {
		if got := s.m.Operates(s.b.Who(story).PartitaIVA); got != operates {
			t.Errorf("%s: operates %v", story, got)
		}
	}
	for _, c := range []struct {
		story      string
		yes, known bool
	}{
		{"entrate-body", true, true},
		{"entrate-body-odd-verdict", true, true},
		{"entrate-body-no-verdict", false, false},
		{"entrate-body-contradiction", false, false},
		{"entrate-body-done-with-error", false, false},
		{"entrate-body-fault", true, true}, // when it comes to speak
	} {
		m := s.b.Who(c.story)
		if yes, known := s.m.Speaks(m.Representative, m.CodiceFiscale); yes != c.yes || known != c.known {
			t.Errorf("%s: %v, known %v", c.story, yes, known)
		}
	}
	m := s.b.Who("entrate-body")
	if yes, known := s.m.Speaks(SecondRepresentative(), m.CodiceFiscale); yes || !known {
		t.Error("another's word is a no")
	}
}
