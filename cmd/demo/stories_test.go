package main

import (
	"cmp"
	"errors"
	"io"
	"strings"
	"testing"

	"raccordo/cmd/demo/input"
	"raccordo/mocks/lab"
	"raccordo/mocks/pec"
)

// An ending is what must become of a member of the cast.
type ending struct {
	outcome outcome
	reason  string // stands in the reason
	at      string // begins the address that the message went to; empty: anything, or nothing where none is sent
	late    bool
}

// endings says, story by story, what the law and the register make of it.
var endings = map[string]ending{
	"company-with-pec":                    {outcome: delivered, at: "officine-tormalina@"},
	"company-without-pec":                 {outcome: noDomicile}, // although INAD has an address under its code
	"company-codes-differ":                {outcome: delivered, at: "cantieri-ventomare@"},
	"company-unknown":                     {outcome: noDomicile},
	"company-at-other-provider":           {outcome: delivered, at: "serre-fiordiloto@pec.studi.test"},
	"sole-trader-as-enterprise":           {outcome: delivered, at: "ristoro-zanforlin@pec.imprese.test"},
	"sole-trader-as-person":               {outcome: delivered, at: "oreste.zanforlin@pec.cittadini.test"},
	"sole-trader-person-without-domicile": {outcome: noDomicile}, // although the firm has a PEC
	"lawyer-hiring-a-carer":               {outcome: delivered, at: "livia.torregiani@pec.cittadini.test"},
	"lawyer-as-professional":              {outcome: delivered, at: "avv.torregiani@pec.studi.test"},
	"unregulated-professional":            {outcome: delivered, at: "dario.bellacosa@pec.studi.test"},

	"personal-domicile":         {outcome: delivered, at: "bruno.marescotti@"},
	"personal-and-professional": {outcome: delivered, at: "noemi.quadrelli@pec.cittadini.test"},
	"professional-only":         {outcome: noDomicile},
	"ceased-domicile":           {outcome: noDomicile},
	"ceased-by-office":          {outcome: noDomicile},
	"ceasing-domicile":          {outcome: delivered, at: "carla.frassineto@"},
	"changed-domicile":          {outcome: delivered, at: "remo.bonacolsi@pec.cittadini.test"},
	"two-addresses":             {outcome: delivered, at: "flora.stanziani@"},
	"no-domicile":               {outcome: noDomicile},
	"invalid-email":             {outcome: failed, reason: "cannot be read"}, // nobody can say that there is none
	"usage-null":                {outcome: delivered},
	"usage-omitted":             {outcome: delivered},
	"absent-in-list":            {outcome: noDomicile},

	"omocodic-code":                     {outcome: failed, reason: "cannot be asked"},
	"omocodic-code-full":                {outcome: failed, reason: "cannot be asked"},
	"provisional-code":                  {outcome: delivered},
	"provisional-code-without-domicile": {outcome: noDomicile},
	"born-in-india":                     {outcome: delivered},
	"born-in-bangladesh":                {outcome: delivered},
	"born-in-egypt":                     {outcome: delivered},
	"born-in-morocco":                   {outcome: delivered},
	"born-in-china":                     {outcome: delivered},
	"born-in-albania":                   {outcome: delivered},

	"register-broken": {outcome: failed, reason: "inad does not answer"}, // nobody else waits for a list
	"register-busy":   {outcome: delivered},
	"register-reset":  {outcome: delivered},
	"register-slow":   {outcome: delivered},

	"body-with-domicile":    {outcome: delivered, at: "passo-lento@"},
	"body-without-domicile": {outcome: noDomicile},
	"body-with-vat":         {outcome: delivered, at: "fondazione-arcobaleno@"},

	"mailbox-nodest":          {outcome: failed, reason: "UNKNOWN_MAILBOX 5.1.1", at: "nodest."},
	"mailbox-full":            {outcome: failed, reason: "MAILBOX_FULL 5.2.2", at: "full."},
	"mailbox-virus":           {outcome: failed, reason: "VIRUS", at: "virus."},
	"mailbox-toobig":          {outcome: failed, reason: "TOO_BIG", at: "toobig."},
	"mailbox-slow":            {outcome: delivered},
	"mailbox-timeout12":       {outcome: delivered}, // the notice of 12 hours gives nothing up
	"mailbox-timeout24":       {outcome: failed, reason: "TIMEOUT"},
	"mailbox-late":            {outcome: delivered, late: true},
	"mailbox-never":           {outcome: pending, reason: "accepted by the sender's provider", at: "never."},
	"mailbox-noaccept":        {outcome: failed, reason: "not accepted by the sender's provider"},
	"mailbox-noacceptreceipt": {outcome: delivered},
	"mailbox-dup":             {outcome: delivered},
	"mailbox-reorder":         {outcome: delivered},
	"mailbox-mute":            {outcome: pending, reason: "no receipt came yet", at: "mute."}, // taken with 250: not uncertain
	"mailbox-nodomain":        {outcome: failed, reason: "UNKNOWN_DOMAIN"},
	"mailbox-ordinary":        {outcome: failed, reason: "UNCERTIFIED"},

	"ri-active":                {outcome: delivered, at: "chiodolungo@"},
	"ri-ceased":                {outcome: checkFailed, reason: "has ceased"},
	"ri-inactive":              {outcome: delivered}, // a person looks at it
	"ri-suspended":             {outcome: delivered},
	"ri-liquidation":           {outcome: delivered},
	"ri-insolvent":             {outcome: delivered},
	"ri-odd-status":            {outcome: failed, reason: "cannot be read"},
	"ri-no-status":             {outcome: failed, reason: "cannot be read"},
	"ri-unknown":               {outcome: checkFailed, reason: "never enrolled"},
	"ri-without-pec":           {outcome: noDomicile},
	"ri-odd-pec":               {outcome: failed, reason: "cannot be read"},
	"ri-null-seat":             {outcome: delivered},
	"ri-seat-not-found":        {outcome: delivered},
	"ri-getncivico":            {outcome: delivered},
	"ri-name-inside":           {outcome: delivered},
	"ri-name-absent":           {outcome: delivered},
	"ri-exists-false":          {outcome: checkFailed, reason: "has ceased"},
	"ri-represents-lowercase":  {outcome: delivered},
	"ri-represents-verificaok": {outcome: delivered},
	"ri-represents-other":      {outcome: checkFailed, reason: "does not represent it"},
	"ri-represents-odd":        {outcome: delivered}, // nobody agreed on what it says
	"ri-represents-not-found":  {outcome: delivered}, // the tax agency knows better
	"ri-holder-of-three":       {outcome: delivered},
	"ri-holder-null-list":      {outcome: delivered},
	"ri-holder-empty-list":     {outcome: delivered},
	"ri-broken":                {outcome: failed, reason: "does not answer"},
	"ri-busy":                  {outcome: delivered},
	"ri-reset":                 {outcome: delivered},
	"ri-slow":                  {outcome: delivered},
	"ri-html":                  {outcome: failed, reason: "cannot be read"},
	"ri-empty":                 {outcome: failed, reason: "cannot be read"},
	"ri-misrouted":             {outcome: failed, reason: "cannot be read"},
	"ri-error-inside":          {outcome: delivered}, // who represents it is not known, which stops nobody
	"ri-wrong-members":         {outcome: failed, reason: "cannot be read"},

	// What the tax agency does not say with authority stops nobody: all its other stories end with a code delivered.
	"entrate-code-superseded":       {outcome: checkFailed, reason: "replaced by another"},
	"entrate-code-unknown":          {outcome: checkFailed, reason: "unknown to the tax registry"},
	"entrate-vat-ceased":            {outcome: checkFailed, reason: "not in use: ceased"},
	"entrate-vat-ceased-undated":    {outcome: checkFailed, reason: "not in use: ceased"},
	"entrate-vat-suspended":         {outcome: checkFailed, reason: "not in use: suspended"},
	"entrate-vat-suspended-undated": {outcome: checkFailed, reason: "not in use: suspended"},
	"entrate-vat-unassigned":        {outcome: checkFailed, reason: "nobody's"},

	"crowd-company": {outcome: delivered},
	"crowd-trader":  {outcome: delivered, at: "ditta-"},
	"crowd-person":  {outcome: delivered},
	"crowd-body":    {outcome: delivered},
	"crowd-without": {outcome: noDomicile},
}

// readRows gives the rows of a list that are well formed.
func readRows(t testing.TB, name string) (rows []input.Row) {
	t.Helper()
	f, r, err := openList(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err == nil {
			rows = append(rows, row)
		}
	}
}

func TestEveryStoryEndsAsItSays(t *testing.T) {
	t.Parallel()
	r := whole(t)
	rows := map[string]*row{}
	for _, one := range r.job.core.rows {
		if one.outcome != repeated && one.outcome != invalid {
			rows[one.id] = one
		}
	}
	to := map[string]pec.Submitted{}
	for _, m := range r.taken {
		_, id, _ := strings.Cut(m.Subject, "pratica ")
		to[id] = m
	}
	listed := map[string]input.Row{} // by code and capacity
	for _, row := range readRows(t, wholeList) {
		if !row.Repeated {
			code := cmp.Or(row.Query.Subject.CodiceFiscale.Reveal(), row.Query.Subject.PartitaIVA.Reveal())
			listed[code+string(row.Query.Capacity)] = row
		}
	}
	told := map[string]bool{}
	for _, m := range r.job.bench.Cast() {
		told[m.Story] = true
		want, ok := endings[m.Story]
		if !ok && strings.HasPrefix(m.Story, "entrate-") {
			want, ok = ending{outcome: delivered}, true
		}
		if !ok {
			t.Errorf("nobody says how the story %s ends", m.Story)
			continue
		}
		row, ok := listed[m.CodiceFiscale+m.Capacity]
		if !ok && strings.HasSuffix(m.Story, "-429") {
			continue // it has no end
		}
		one := rows[row.ID]
		if who := row.Representative.Reveal(); who != "" && who != m.Representative && (m.Capacity != lab.Body || r.job.bench.Mock("entrate") != nil) {
			want = ending{outcome: checkFailed, reason: "does not represent it"}
		}
		if one == nil {
			t.Errorf("%s (%s) is not in the list", m.ID, m.Story)
			continue
		}
		if one.outcome != want.outcome || !strings.Contains(one.reason, want.reason) || one.late() != want.late {
			t.Errorf("%s, %s: %s (%q), late %v; want %s (%q), late %v", m.Story, m.Capacity,
				one.outcome, one.reason, one.late(), want.outcome, want.reason, want.late)
		}
		sent, ok := to[one.id]
		if ok == (want.outcome == noDomicile || want.outcome == checkFailed || strings.Contains(want.reason, "cannot be ") ||
			strings.Contains(want.reason, "does not answer")) {
			t.Errorf("%s, %s: a message was taken: %v", m.Story, m.Capacity, ok)
		}
		if ok && !strings.HasPrefix(sent.Recipients[0], want.at) {
			t.Errorf("%s, %s: the message went elsewhere than to %s…", m.Story, m.Capacity, want.at)
		}
		if one.sent() != ok {
			t.Errorf("%s, %s: said to be sent: %v, taken: %v", m.Story, m.Capacity, one.sent(), ok)
		}
	}
	for story := range endings {
		if !told[story] {
			t.Errorf("the cast has no story %s any more", story)
		}
	}
}
