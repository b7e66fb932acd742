// What `cloudflare:email` is made of.
export const RAW = "EmailMessage::raw";

class EmailMessage {
	constructor(from, to, raw) {
		return { from, to, [RAW]: raw };
	}
}

export default { EmailMessage };
