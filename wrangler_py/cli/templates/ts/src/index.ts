// A request puts a job into a queue; the queue's consumer does it later.

interface Job {
  text: string;
}

interface Env {
  JOBS: { send(job: Job): Promise<void> };
}

interface Message {
  body: Job;
  attempts: number;
  ack(): void;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method !== "POST") {
      return new Response("POST a job as JSON: {\"text\": \"hello\"}\n", { status: 405 });
    }
    const job = (await request.json()) as Job;
    await env.JOBS.send(job);
    return Response.json({ queued: job }, { status: 202 });
  },

  async queue(batch: { messages: Message[] }): Promise<void> {
    for (const message of batch.messages) {
      console.log(`job ${message.body.text}, attempt ${message.attempts}`);
      message.ack();
    }
  },
};
