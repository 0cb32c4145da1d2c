// docs/reasons.md from the closed vocabulary, so that the page cannot lack a word or keep an old one.
import { reasonHints } from '../../lib/api/reasons.ts';

const head = `# Reasons

<!-- Generated from lib/api/reasons.ts by \`make manifests\`. -->

Why a connection was refused or ended early, in one word. The same words are in the log (\`reason\`, with the sentence below as \`hint\`), in the metrics (label \`reason\`), and in
the messages of the command line. \`detail\` beside it has the fact: OpenSSL's code, the identity that answered, the system's error. \`told: true\` means that the peer refused us, and the word is what it said.
The list is closed: a new word is a change of the API. Lines and fields are in [logs.md](logs.md).

| reason | what it means and what to do |
|---|---|
`;

/** The whole page. */
export function reasonsPage(): string {
  return (
    head +
    Object.entries(reasonHints)
      .map(([reason, hint]) => `| \`${reason}\` | ${hint} |\n`)
      .join('')
  );
}
