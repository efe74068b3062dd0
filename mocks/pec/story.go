package pec

import (
	"slices"
	"strings"
	"sync"
)

// A Scope is what a story is about.
type Scope string

// The scopes. A label of a recipient tells any of them but [InSession] and [OnConnect].
const (
	OfRecipient Scope = "recipient" // what becomes of one recipient
	OfMessage   Scope = "message"   // which receipts a message yields, and when
	OfReceipts  Scope = "receipts"  // how every receipt of a message looks
	OfMailbox   Scope = "mailbox"   // what befalls the sender's mailbox after the message was taken
	OnWire      Scope = "wire"      // the submission on the wire; by a label: the first attempt alone
	InSession   Scope = "session"   // one IMAP command
	OnConnect   Scope = "connect"   // one connection, of either protocol
)

// A Story is one thing that may happen otherwise than well. Its name is the first dot-separated label of a recipient's local
// part, or is given to [Mock.Order] or [Mock.Chaos].
type Story struct {
	Name  string `json:"name"`
	Scope Scope  `json:"scope"`
	Does  string `json:"does"`
	// Sound is whether receipts told this way still count with a receiver that goes by the book.
	Sound bool `json:"sound"`
}

// Stories lists all that can be told.
func Stories() []Story { return slices.Clone(storyList()) }

var storyList = sync.OnceValue(func() []Story {
	return []Story{
		{"nodest", OfRecipient, "delivery error: no such mailbox", true},
		{"full", OfRecipient, "delivery error: the recipient's mailbox is full", true},
		{"toobig", OfRecipient, "delivery error: too big for the mailbox", true},
		{"virus", OfRecipient, "delivery error: virus found on arrival", true},
		{"slow", OfRecipient, "delivered after 3 hours", true},
		{"timeout12", OfRecipient, "the 12-hour notice, delivered at 15 hours", true},
		{"timeout24", OfRecipient, "the notices of 12 and 24 hours, never delivered", true},
		{"only24", OfRecipient, "the 24-hour notice alone, never delivered: taken in charge, and lost", true},
		{"late", OfRecipient, "the 24-hour notice alone, delivered at 30 hours", true},
		{"never", OfRecipient, "accepted, then silence", true},
		{"errafter", OfRecipient, "delivered, and an hour later a delivery error", true},
		{"delafter", OfRecipient, "a delivery error, and an hour later delivered", true},
		{"unknowntipo", OfRecipient, "a document of a tipo that nobody knows, in place of the delivery", false},
		{"unknownerrore", OfRecipient, "a delivery error whose errore nobody knows", true},
		{"huge", OfRecipient, "the delivery receipt is larger than 40 MB", true},
		{"pecinpec", OfRecipient, "postacert.eml holds a PEC with a daticert.xml of its own", true},
		{"charge", OfRecipient, "the other provider's presa-in-carico strays into the mailbox, then delivered", true},
		{"strayvirus", OfRecipient, "the other provider's rilevazione-virus strays into the mailbox, then the delivery error", true},
		{"bounce", OfRecipient, "an ordinary recipient's bounce comes in an anomaly envelope a minute later", true},

		{"noaccept", OfMessage, "a non-acceptance, formal", true},
		{"noacceptvirus", OfMessage, "a non-acceptance for a virus", true},
		{"noacceptreceipt", OfMessage, "delivered, but the acceptance never comes", true},
		{"dup", OfMessage, "each receipt twice: the acceptance byte for byte, the others with another outer header", true},
		{"reorder", OfMessage, "the delivery comes before the acceptance", true},
		{"mute", OfMessage, "250, and no receipt ever", true},
		{"twoaccept", OfMessage, "two acceptances with different identificativi", true},
		{"foreign", OfMessage, "beside its own receipts, those of a message of another client", true},
		{"replay", OfMessage, "the acceptance comes again with the outer header of the delivery, which follows an hour later", true},
		{"othersigner", OfMessage, "the acceptance is signed by the other provider in its own name", true},
		{"header", OfMessage, "outer headers say the contrary of what is signed: delivered for failed, failed for delivered", true},

		{"unsigned", OfReceipts, "no signature at all", false},
		{"badsig", OfReceipts, "the signature's value is wrong", false},
		{"altered", OfReceipts, "daticert.xml was changed after signing, for the better; the outer headers stay", false},
		{"nomsgid", OfReceipts, "no msgid in daticert.xml but the acceptance's; the outer headers have it", true},
		{"noids", OfReceipts, "no msgid in any daticert.xml, no X-Riferimento-Message-ID: nothing ties them to the message", false},
		{"expired", OfReceipts, "the certificate had expired at signing", false},
		{"expiredchain", OfReceipts, "the intermediate's certificate had expired at signing", false},
		{"validatsigning", OfReceipts, "the certificate had expired on arrival, and was valid when it says it signed", true},
		{"wrongsan", OfReceipts, "the certificate names the other provider", false},
		{"wrongeku", OfReceipts, "the certificate is for TLS servers", false},
		{"unknownca", OfReceipts, "the certificate comes from another authority", false},
		{"nopolicy", OfReceipts, "the certificate carries no policy", true},
		{"nameconstraint", OfReceipts, "the intermediate may not certify this provider", false},
		{"sha1", OfReceipts, "SHA-1, as seen until late 2024", true},
		{"ber", OfReceipts, "the signature has indefinite lengths", true},
		{"nopreamble", OfReceipts, "no text before the first boundary", true},
		{"swapped", OfReceipts, "postacert.eml before daticert.xml", true},
		{"unquoted", OfReceipts, "names and micalg without quotes", true},
		{"folded", OfReceipts, "micalg on a folded line, after a trailing blank", true},
		{"datecomment", OfReceipts, "a comment behind Date", true},
		{"accents", OfReceipts, "broken accents in the text", true},
		{"baretext", OfReceipts, "one text part instead of the alternative", true},
		{"extraheaders", OfReceipts, "fields of REM and others to be ignored", true},
		{"skewfast", OfReceipts, "the provider's clock is 3 minutes ahead", true},
		{"skewslow", OfReceipts, "the provider's clock is 3 minutes behind", true},
		{"skewfar", OfReceipts, "the provider's clock is 2 hours ahead", false},
		{"zona", OfReceipts, "dates stand in the zone of the other half of the year", true},

		{"fullbox", OfMailbox, "the sender's mailbox is full when the receipts come: they are lost", true},
		{"reader", OfMailbox, "another reader deletes each receipt the moment it comes", true},
		{"bump", OfMailbox, "INBOX gets a new UIDVALIDITY after the first receipt", true},
		{"cutfetch", OfMailbox, "the mailbox's next fetch of a body breaks off", true},
		{"nologin", OfMailbox, "the mailbox's next three logins are answered NO [LIMIT]", true},
		{"lockout", OfMailbox, "the mailbox is locked for half an hour of the bench's clock", true},

		{"greylist", OnWire, "RCPT is answered 450, until five minutes later by the bench's clock", true},
		{"refused", OnWire, "RCPT is answered 550, always", true},
		{"busy", OnWire, "RCPT is answered 421, and the connection closed", true},
		{"toomuch", OnWire, "550 with \"Class Of Service\"", true},
		{"tempfail", OnWire, "the dot is answered 451: nothing taken", true},
		{"cutbefore", OnWire, "the connection is cut after the dot: nothing taken", true},
		{"cutafter", OnWire, "the connection is cut after the dot: taken", true},
		{"lateanswer", OnWire, "taken, and 250 comes half a second of real time later", true},

		{"connreset", OnConnect, "the connection is reset as it comes", true},

		{"imapdrop", InSession, "the connection is cut, nothing done", true},
		{"imaplost", InSession, "the connection is cut after the work", true},
		{"imapcut", InSession, "a fetch breaks off amid a message's bytes", true},
		{"imapno", InSession, "NO [UNAVAILABLE]", true},
		{"imaplimit", InSession, "a login is answered NO [LIMIT]", true},
	}
})

var storyIndex = sync.OnceValue(func() map[string]Story {
	index := make(map[string]Story)
	for _, s := range storyList() {
		index[s.Name] = s
	}
	return index
})

// storyNamed finds a story.
func storyNamed(name string) (Story, bool) {
	s, ok := storyIndex()[name]
	return s, ok
}

// scopeOf is empty for what is no story.
func scopeOf(name string) Scope { return storyIndex()[name].Scope }

// sound tells whether a document shaped by these stories counts with a receiver that goes by the book.
func sound(stories []string) bool {
	return !slices.ContainsFunc(stories, func(name string) bool {
		switch name {
		case "foreign", "replay", "othersigner", "header":
			return true // sound as a story, since what is true comes too; the document itself is not
		}
		s, ok := storyNamed(name)
		return ok && !s.Sound
	})
}

// labels are the stories that the recipients' local parts ask for, within some scopes.
func labels(paths []string, scopes ...Scope) []string {
	var out []string
	for _, p := range paths {
		if name := scenarioOf(p); slices.Contains(scopes, scopeOf(name)) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// scenarioOf is the recipient's story: the first dot-separated label of the local part.
func scenarioOf(address string) string {
	local, _, _ := strings.Cut(address, "@")
	label, _, _ := strings.Cut(local, ".")
	return strings.ToLower(label)
}
