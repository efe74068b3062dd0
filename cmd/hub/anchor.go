package main

import (
	"fmt"

	"raccordo/contracts"
	"raccordo/contracts/delivery"
	"raccordo/hub/ledger"
)

// anchorMessage is the message by which another administrator gets the head of a closed segment: the same bytes for the
// same head, so that handing it over again changes nothing.
func anchorMessage(cfg ledger.AnchorConfig, head ledger.Head) (*contracts.OpInfo, any, error) {
	to, err := contracts.ParseAddress(cfg.To)
	if err != nil {
		return nil, nil, contracts.Errorf(contracts.Invalid, "ledger.anchor.to: want an address")
	}
	file, err := head.AnchorLine()
	if err != nil {
		return nil, nil, err
	}
	text := fmt.Sprintf("Impronta firmata di un segmento chiuso del registro delle prove.\r\n"+
		"Conservare questo messaggio, con le sue buste e ricevute: serve a dimostrare\r\n"+
		"che il registro non e' stato riscritto dopo la data della ricevuta.\r\n\r\n"+
		"catena:    %s\r\nsegmento:  %d (%s, UTC)\r\nvoci:      %d - %d\r\n"+
		"impronta:  %s\r\nchiave:    %s\r\nfirma:     %x\r\n\r\n"+
		"Il file allegato contiene gli stessi dati nella forma dell'esportazione.\r\n"+
		"Verifica: hub ledger verify -anchors CARTELLA hub.yaml\r\n",
		head.Chain, head.Segment, head.Day, head.First, head.Last, head.Digest(), head.Key, head.Signature)
	return delivery.OpSend.OpInfo, delivery.Message{
		Sender:  cfg.Sender,
		To:      []delivery.Recipient{{Address: to, Basis: delivery.Basis{Kind: delivery.Office}}},
		Subject: contracts.NewPrivate(fmt.Sprintf("Registro delle prove %s, segmento %d (%s): impronta", head.Chain, head.Segment, head.Day)),
		Text:    contracts.NewPrivate(text),
		Attachments: []delivery.Attachment{{
			Name:      contracts.NewPrivate(fmt.Sprintf("%s-%d.json", head.Chain, head.Segment)),
			MediaType: "application/json",
			Content:   contracts.NewBlob(file),
		}},
	}, nil
}
