package pec

import (
	"slices"
	"testing"

	"raccordo/contracts"
	"raccordo/contracts/contracttest"
	"raccordo/contracts/delivery/deliverytest"
)

func TestSuite(t *testing.T) {
	capture := contracttest.NewCapture()
	w := newWorld(t, nil)
	w.Adapter.env.Log = capture.Logger()
	who := func(s string) contracts.Address { return to(s).To[0].Address }
	deliverytest.Run(t, deliverytest.Harness{
		Harness: contracttest.Harness{
			Runner: w.run, Far: w.bench, Wire: "pec *", Capture: capture,
			// "500" is 550 on this wire: a refusal for good, which is Invalid by RFC 5321 section 4.2.1, no breakdown.
			Faults: slices.DeleteFunc(contracttest.AllFaults(), func(f string) bool { return f == contracttest.Status500 }),
		},
		Sender: "centrale", Message: "pec smtp message",
		Delivered: who("rossi@pec.cittadini.test"), DeliveredToo: who("ditta@pec.imprese.test"),
		Refused: who("nodest.a@pec.studi.test"), Full: who("full.a@pec.studi.test"), Virus: who("virus.a@pec.studi.test"),
		TooBig: who("toobig.a@pec.studi.test"), UnknownDomain: who("a@nowhere.test"), Uncertified: who("persona@posta.test"),
		NotAccepted: who("noaccept.a@pec.studi.test"), NoAcceptance: who("noacceptreceipt.a@pec.studi.test"),
		Slow: who("slow.a@pec.studi.test"), Timeout12: who("timeout12.a@pec.studi.test"), Timeout24: who("timeout24.a@pec.studi.test"),
		Late: who("late.a@pec.studi.test"), Never: who("never.a@pec.studi.test"), Mute: who("mute.a@pec.studi.test"),
		Duplicated: who("dup.a@pec.studi.test"), Reordered: who("reorder.a@pec.studi.test"),
		Kept: w.run.Kept,
	})
}
