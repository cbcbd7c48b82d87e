/** A run of the command line, with small programs in its place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContractError, type Document, type Json } from '../src/contract';
import { start, type Listener, type Program } from '../src/process';

/** A program that gets the words of a command after its own text. */
function program(script: string): Program {
  return [process.execPath, '-e', script, '--'];
}

class Heard implements Listener {
  readonly events: string[] = [];
  readonly texts: string[] = [];
  readonly documents: Json[] = [];
  constructor(private readonly answer: string | null = null) {}
  progress(event: Document<'progress'>): void { this.events.push(`${event.event} ${event.text}`); }
  question(question: Document<'question'>): Promise<string | null> { this.events.push(question.text); return Promise.resolve(this.answer); }
  text(line: string): void { this.texts.push(line); }
  document(document: Json): void { this.documents.push(document); }
}

const SAY = `const say = (stream, document) => stream.write(JSON.stringify(document) + '\\n');`;

test('the words end with the form of the output, and run in the folder', async () => {
  const script = `${SAY} say(process.stdout, { words: process.argv.slice(1), folder: process.cwd() });`;
  const { code, document } = await start(program(script), ['deploy'], '/', new Heard()).ended;
  assert.equal(code, 0);
  assert.deepEqual(document, { words: ['deploy', '--output', 'jsonl'], folder: '/' });
});

test('progress, other words and documents each go their way; the last document is the result', async () => {
  const script = `${SAY}
    say(process.stderr, { schema: 'remora.progress/v1', event: 'started', text: 'working' });
    process.stderr.write('a warning of another library\\n');
    process.stdout.write('no JSON\\n');
    say(process.stdout, { schema: 'remora.log/v1', text: 'one' });
    say(process.stdout, { schema: 'remora.log/v1', text: 'two' });
    process.exitCode = 7;`;
  const heard = new Heard();
  const { code, document } = await start(program(script), [], '/', heard).ended;
  assert.equal(code, 7);
  assert.deepEqual(heard.events, ['started working']);
  assert.deepEqual(heard.texts, ['a warning of another library']);
  assert.deepEqual(heard.documents.map(({ text }) => text), ['one', 'two']);
  assert.equal(document, heard.documents[1]);
});

for (const answer of ['westus3', '', null]) {
  test(`a question is answered with ${JSON.stringify(answer)}`, async () => {
    const script = `${SAY}
      say(process.stderr, { schema: 'remora.question/v1', kind: 'text', text: 'Where?', default: null, choices: [] });
      process.stdin.once('data', (line) => { say(process.stdout, { got: JSON.parse(line) }); process.exit(); });`;
    const heard = new Heard(answer);
    const { document } = await start(program(script), [], '/', heard).ended;
    assert.deepEqual(heard.events, ['Where?']);
    assert.deepEqual(document, { got: { answer } });
  });
}

test('an interrupt is Ctrl+C, and what it says then is the result', async () => {
  const script = `${SAY}
    process.on('SIGINT', () => { say(process.stdout, { ended: 'interrupted' }); process.exit(130); });
    say(process.stderr, { schema: 'remora.progress/v1', event: 'started', text: 'ready' });
    setInterval(() => 0, 1000);`;
  const heard = new Heard();
  const running = start(program(script), [], '/', Object.assign(heard, { progress: () => { running.interrupt(); } }));
  const { code, document } = await running.ended;
  assert.deepEqual([code, document], [130, { ended: 'interrupted' }]);
});

test('what is not understood is an error of the run', async () => {
  const script = `${SAY} say(process.stderr, { schema: 'remora.progress/v1', event: 1 }); setInterval(() => 0, 1000);`;
  await assert.rejects(start(program(script), [], '/', new Heard()).ended, ContractError);
});

test('a program that is not there is an error, not a crash', async () => {
  await assert.rejects(start(['/no/such/remora'], [], '/', new Heard()).ended, /ENOENT/);
});
