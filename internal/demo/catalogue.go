package demo

import "parvis"

// Apps are the applications of contract.md, without their addresses, then its
// OpenID clients.
func Apps() []parvis.App {
	all := parvis.Channels()
	inside := []parvis.Channel{parvis.Internal, parvis.VPN}
	daily := parvis.Words{FR: "Ma messagerie et mes contacts", EN: "Mail and contacts"}
	hr := parvis.Words{FR: "Ma paie et mes congés", EN: "Pay and leave"}
	work := parvis.Words{FR: "Mon métier", EN: "My work"}
	return append([]parvis.App{
		{
			ID: "messagerie", Name: parvis.Words{FR: "Messagerie", EN: "Mail"}, Group: daily, Owner: parvis.Words{FR: "la direction informatique", EN: "the IT department"},
			Purpose:  parvis.Words{FR: "Vos messages professionnels", EN: "Your work mail"},
			Channels: all, SecondOn: []parvis.Channel{parvis.Mobile},
		},
		{
			ID: "annuaire", Name: parvis.Words{FR: "Annuaire", EN: "Directory"}, Group: daily, Owner: parvis.Words{FR: "la direction informatique", EN: "the IT department"},
			Purpose: parvis.Words{FR: "Trouver un collègue ou un service", EN: "Find a colleague or a service"}, Channels: all, Reduced: []parvis.Channel{parvis.Mobile},
			ReducedTo:  []string{"GET /", "GET /search"},
			ReducedCan: parvis.Words{FR: "chercher un service et son numéro", EN: "look up a service and its number"},
			ReducedNot: parvis.Words{FR: "voir les fiches des personnes", EN: "see people's cards"},
		},
		{
			ID: "paie", Name: parvis.Words{FR: "Bulletins de paie", EN: "Pay slips"}, Group: hr, Owner: parvis.Words{FR: "la direction des ressources humaines", EN: "the HR department"},
			Purpose: parvis.Words{FR: "Lire et garder vos bulletins et attestations", EN: "Read and keep your pay slips and certificates"}, Channels: all, HRDocuments: true, HRService: true,
		},
		{
			ID: "conges", Name: parvis.Words{FR: "Congés", EN: "Leave"}, Group: hr, Owner: parvis.Words{FR: "la direction des ressources humaines", EN: "the HR department"},
			Purpose: parvis.Words{FR: "Demander et suivre vos congés", EN: "Ask for leave and follow your requests"}, Channels: all, HRService: true,
		},
		{
			ID: "finances", Name: parvis.Words{FR: "Finances", EN: "Finance"}, Group: work, Owner: parvis.Words{FR: "la direction des finances", EN: "the finance department"},
			Purpose: parvis.Words{FR: "Budget, engagements et mandats", EN: "Budget, commitments and payment orders"}, Channels: inside, Entitled: true, Second: true,
		},
		{
			ID: "social", Name: parvis.Words{FR: "Dossiers sociaux", EN: "Case files"}, Group: work, Owner: parvis.Words{FR: "la direction de l'action sociale", EN: "the social services department"},
			Purpose: parvis.Words{FR: "Suivre les personnes accompagnées", EN: "Follow the people in care"}, Channels: inside, Entitled: true, Second: true, OnDeviceVPN: true,
		},
		{
			ID: "urbanisme", Name: parvis.Words{FR: "Urbanisme", EN: "Planning"}, Group: work, Owner: parvis.Words{FR: "la direction de l'urbanisme", EN: "the planning department"},
			Purpose: parvis.Words{FR: "Instruire les permis", EN: "Examine planning permissions"}, Channels: []parvis.Channel{parvis.Internal}, Entitled: true, OfficeHours: true,
		},
	}, clients()...)
}
