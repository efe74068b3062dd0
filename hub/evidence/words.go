package evidence

import (
	_ "embed"

	"raccordo/contracts"
)

// A voice is a language in which a timeline is told. Its words belong to the Format: a verifier tells the timeline again
// and compares.
type voice struct {
	file, title, columns, lacks                                         string
	ticket, kase, state, subject, message                               string
	attested, proof, us, entryNo, nofile                                string
	submitted, intent, sent, unsent, uncertain, answered, refused       string
	operator, event, exported                                           string
	aside, doubted, issuer, about, to, ordinary, end, reason, again, id string
	states                                                              map[contracts.State]string
	kinds                                                               map[contracts.EvidenceKind]string
	why                                                                 map[Why]string
}

func voices() []*voice { return []*voice{italian(), english()} }

func italian() *voice {
	return &voice{
		file: "cronologia.txt", title: "CRONOLOGIA DEI FATTI",
		columns: "Una riga per fatto: ora di Roma = ora UTC | che cosa è accaduto e che cosa significa | chi lo attesta | il file che lo prova.\n" +
			"I testi tra «virgolette» sono altrui e sono riportati come dati, con i caratteri non stampabili scritti per esteso.",
		lacks:  "CHE COSA MANCA IN QUESTA RACCOLTA E PERCHÉ",
		ticket: "Numero della richiesta nel sistema", kase: "Procedimento", state: "Stato secondo il sistema", subject: "Oggetto", message: "Messaggio inviato",
		attested: "attestato da", proof: "prova", us: "registro dell'amministrazione", entryNo: "ledger/, voce %d", nofile: "nessun file",
		submitted: "La richiesta %s è stata registrata; l'ha presentata il servizio %s con finalità %s",
		intent:    "Da qui in poi il messaggio può essere partito attraverso %s",
		sent:      "Tentativo attraverso %s, byte trasmessi: risposta del server %s, suo identificativo %s; ciò che è stato trasmesso ha impronta sha256 %s",
		unsent:    "Tentativo attraverso %s, nulla di legalmente rilevante è stato trasmesso: risposta del server %s, suo identificativo %s; il testo preparato ha impronta sha256 %s",
		uncertain: "L'esito del tentativo è incerto: solo le ricevute dicono se il messaggio è stato preso in carico. Non viene ritrasmesso alla cieca",
		answered:  "L'esito è stato registrato (%s)",
		refused:   "Il tentativo non è riuscito: %s",
		operator:  "Una persona è intervenuta: %s, passaggio %s; motivo dichiarato %s",
		event:     "Il sistema %s ha comunicato %s",
		exported:  "Questa raccolta è stata chiesta da %s; motivo dichiarato %s",
		aside:     "È arrivato un documento %s che è stato messo da parte: non se ne è tratta alcuna conclusione",
		doubted:   "È arrivato un documento %s che non fa fede (verifica della firma: %s; dubbio: %s): è conservato, ma non ha mosso nulla",
		issuer:    "gestore %s con firma di %s (verifica: %s)",
		about:     " Destinatario: %s.", to: " Destinatari nominati dal gestore:", ordinary: " (posta ordinaria: nessuna ricevuta di consegna ne potrà arrivare)", end: ".",
		reason: " Motivo: %s, codice %s.", again: " Riguarda il secondo invio (numero %d), ordinato da una persona.", id: " Identificativo del gestore: %s.",
		states: map[contracts.State]string{
			contracts.StateQueued: "in coda", contracts.StateRunning: "in lavorazione", contracts.StateWaiting: "in attesa di ricevute",
			contracts.StateUncertain: "esito incerto", contracts.StateDone: "conclusa", contracts.StateFailed: "non riuscita",
			contracts.StateAbandoned: "abbandonata da una persona",
		},
		kinds: map[contracts.EvidenceKind]string{
			contracts.SubmissionAcceptance:      "ACCETTAZIONE. Il gestore del mittente attesta di avere accettato il messaggio: è la prova dell'avvenuta spedizione.",
			contracts.SubmissionRejection:       "NON ACCETTAZIONE. Il gestore del mittente ha rifiutato il messaggio: non è stato spedito a nessuno.",
			contracts.RelayAcceptance:           "PRESA IN CARICO da parte del gestore del destinatario: da sola non prova la consegna.",
			contracts.RelayRejection:            "RIFIUTO TRA GESTORI: il gestore del destinatario non inoltra il messaggio.",
			contracts.ContentConsignment:        "CONSEGNA. Il gestore del destinatario attesta che il messaggio è nella casella del destinatario: da questo istante si ha per consegnato, che sia stato letto o no.",
			contracts.ContentConsignmentFailure: "MANCATA CONSEGNA. Un gestore attesta che il messaggio non è stato messo nella casella del destinatario.",
			contracts.ConsignmentDelay:          "AVVISO DI RITARDO. Il gestore del mittente avvisa che entro i suoi termini (12 o 24 ore) non ha avuto prova della consegna; da solo non esclude una consegna successiva.",
		},
		why: map[Why]string{
			Withheld: "Il messaggio è segreto: i suoi byte non stanno in nessuna raccolta; la loro impronta sta nel registro",
			Returned: "Una ricevuta riporta il testo di un messaggio segreto e perciò non è compresa; la sua impronta sta nel registro",
			NoFile:   "Un documento non è stato archiviato (troppo grande per essere scaricato): resta nella casella",
			Unheard:  "Non c'è una ricevuta di accettazione (o non accettazione) archiviata: o non è arrivata, o è stata solo vista nella casella mentre si chiariva un esito incerto",
			Erased:   "Qualcosa è stato conservato e poi cancellato; ne resta l'impronta nel registro",
			Damaged:  "I byte conservati non sono più quelli di allora: non sono compresi; l'impronta giusta sta nel registro",
			Dropped:  "Una parte del registro è stata eliminata a norma dei tempi di conservazione",
			Gone:     "Il sistema non conserva più la richiesta e i suoi eventi: il tempo di conservazione è trascorso",
		},
	}
}

func english() *voice {
	return &voice{
		file: "timeline.txt", title: "TIMELINE OF THE FACTS",
		columns: "One line per fact: time in Rome = time in UTC | what happened and what it means | who attests it | the file that proves it.\n" +
			"Texts in «marks» are others' and are shown as data, with characters that cannot be printed written out.",
		lacks:  "WHAT THIS EXPORT LACKS, AND WHY",
		ticket: "Ticket", kase: "Case", state: "State, as the hub states it", subject: "Subject", message: "Message sent",
		attested: "attested by", proof: "proof", us: "the administration's ledger", entryNo: "ledger/, entry %d", nofile: "no file",
		submitted: "The request %s was recorded; the service %s made it, for the purpose %s",
		intent:    "From here on the message may have left through %s",
		sent:      "Attempt through %s, bytes were transmitted: the server's reply %s, its identifier %s; what was transmitted has the digest sha256 %s",
		unsent:    "Attempt through %s, nothing of legal effect was transmitted: the server's reply %s, its identifier %s; the text prepared has the digest sha256 %s",
		uncertain: "What came of the attempt is not known: only receipts tell whether the message was taken. It is not sent again blindly",
		answered:  "The outcome was recorded (%s)",
		refused:   "The attempt did not succeed: %s",
		operator:  "A person intervened: %s, move %s; stated reason %s",
		event:     "The system %s told of %s",
		exported:  "This export was asked for by %s; stated reason %s",
		aside:     "A document %s came and was set aside: nothing was concluded from it",
		doubted:   "A document %s came that does not count (check of its signature: %s; doubt: %s): it is kept, and has moved nothing",
		issuer:    "provider %s, signed by %s (check: %s)",
		about:     " Recipient: %s.", to: " Recipients that the provider names:", ordinary: " (ordinary mail: no receipt of delivery can ever come)", end: ".",
		reason: " Reason: %s, code %s.", again: " It is about the second sending (number %d), ordered by a person.", id: " The provider's identifier: %s.",
		states: map[contracts.State]string{
			contracts.StateQueued: "queued", contracts.StateRunning: "being carried out", contracts.StateWaiting: "waiting for receipts",
			contracts.StateUncertain: "uncertain", contracts.StateDone: "done", contracts.StateFailed: "failed",
			contracts.StateAbandoned: "given up by a person",
		},
		kinds: map[contracts.EvidenceKind]string{
			contracts.SubmissionAcceptance:      "ACCEPTANCE. The sender's provider attests that it accepted the message: it is the proof of sending.",
			contracts.SubmissionRejection:       "NON-ACCEPTANCE. The sender's provider refused the message: it was sent to nobody.",
			contracts.RelayAcceptance:           "TAKING CHARGE by the recipient's provider: alone it does not prove delivery.",
			contracts.RelayRejection:            "REFUSAL BETWEEN PROVIDERS: the recipient's provider does not pass the message on.",
			contracts.ContentConsignment:        "DELIVERY. The recipient's provider attests that the message is in the recipient's mailbox: from this instant it counts as delivered, read or not.",
			contracts.ContentConsignmentFailure: "FAILED DELIVERY. A provider attests that the message was not put into the recipient's mailbox.",
			contracts.ConsignmentDelay:          "NOTICE OF DELAY. The sender's provider tells that within its terms (12 or 24 hours) it had no proof of delivery; alone it does not exclude a later delivery.",
		},
		why: map[Why]string{
			Withheld: "The message is secret: no export holds its bytes; their digest stands in the ledger",
			Returned: "A receipt carries a secret message back and is therefore left out; its digest stands in the ledger",
			NoFile:   "A document was not archived (too large to be fetched): it is still in the mailbox",
			Unheard:  "No receipt of acceptance (or non-acceptance) is archived: none came, or it was only seen in the mailbox while a doubt was resolved",
			Erased:   "Something was kept and has been erased since; its digest stands in the ledger",
			Damaged:  "The bytes kept are no longer those of then, and are left out; the right digest stands in the ledger",
			Dropped:  "A part of the ledger was dropped as retention allows",
			Gone:     "The hub holds the request and its events no longer: their retention is over",
		},
	}
}

//go:embed LEGGIMI.txt
var leggimi []byte

//go:embed README.txt
var readme []byte

type readmeFile struct {
	name string
	text []byte
}

func readmes() []readmeFile { return []readmeFile{{"LEGGIMI.txt", leggimi}, {"README.txt", readme}} }
