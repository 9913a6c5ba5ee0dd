// Two turns of one chat with the Vercel AI SDK: one generated, one streamed. Prints what the test compares, as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const [baseURL, apiKey] = process.argv.slice(2);
const mirror = createOpenAICompatible({ name: "mirror", baseURL, apiKey, includeUsage: true });

const first = [{ role: "user", content: "I'm severely allergic to shellfish." }];
const generated = await generateText({ model: mirror("mirror"), messages: first, system: "Be brief." });

const second = [
  ...first,
  { role: "assistant", content: generated.text },
  { role: "user", content: "Shall I order the paella?" },
];
const streamed = streamText({ model: mirror("mirror"), messages: second, system: "Be brief." });
const pieces = [];
for await (const piece of streamed.textStream) pieces.push(piece);

let refused = "";
try {
  await generateText({ model: mirror("mirror"), messages: first, stopSequences: ["."], maxRetries: 0 });
} catch (error) {
  refused = error.message;
}

console.log(
  JSON.stringify({
    text: generated.text,
    usage: generated.usage.totalTokens,
    thread: generated.response.headers["x-thread-id"],
    pieces,
    streamedUsage: (await streamed.usage).totalTokens,
    streamedThread: (await streamed.response).headers["x-thread-id"],
    finishReason: await streamed.finishReason,
    refused,
  }),
);
