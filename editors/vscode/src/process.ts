/**
 * One run of `remora … --output jsonl`: its progress, its questions and its documents, line by line.
 * Knows nothing of VS Code, and nothing of what the commands mean.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { nameOf, read, type Document, type Json } from './contract';

/** The program and what always stands before its arguments: `["python", "-m", "remora"]`. */
export type Program = readonly [string, ...string[]];

export interface Listener {
  progress(event: Document<'progress'>): void;
  /** The answer; an empty one means the default, null gives up. */
  question(question: Document<'question'>): Promise<string | null>;
  /** A line on stderr that is no JSON: a crash, or another program's words. */
  text(line: string): void;
  /** Every document on stdout as it comes, the last one too. */
  document?(document: Json): void;
}

export interface Ended {
  /** Null where a signal ended it. */
  readonly code: number | null;
  /** The last document on stdout; undefined where there was none. */
  readonly document: Json | undefined;
}

export interface Running {
  readonly ended: Promise<Ended>;
  /** Ctrl+C: what goes on in the cloud is asked about, or an answer is stopped. */
  interrupt(): void;
  /** One line on stdin. */
  send(line: Json): void;
  /** The end of stdin: nobody will answer any more. */
  close(): void;
}

/** Starts it. `ended` rejects where the program cannot be started. */
export function start(program: Program, words: readonly string[], folder: string, listener: Listener): Running {
  const [file, ...before] = program;
  const child = spawn(file, [...before, ...words, '--output', 'jsonl'], { cwd: folder, stdio: 'pipe', windowsHide: true });
  const send = (line: Json): void => { child.stdin.write(`${JSON.stringify(line)}\n`); };
  child.stdin.on('error', () => undefined); // it may have ended before our answer
  let last: Json | undefined;
  const ended = new Promise<Ended>((resolve, reject) => {
    /** What a listener does not understand ends the run as an error, and not the whole extension host. */
    const guarded = (take: (line: string) => void) => (line: string): void => {
      try {
        take(line);
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
        child.kill('SIGINT');
      }
    };
    const out = eachLine(child.stdout, guarded((line) => {
      const document = parsed(line);
      if (!document) return;
      last = document;
      listener.document?.(document);
    }));
    const err = eachLine(child.stderr, guarded((line) => { told(line, listener, send); }));
    child.on('error', reject);
    child.on('close', (code) => { void Promise.all([out, err]).then(() => { resolve({ code, document: last }); }); });
  });
  return { ended, send, interrupt: () => child.kill('SIGINT'), close: () => child.stdin.end() };
}

function told(line: string, listener: Listener, send: (line: Json) => void): void {
  const document = parsed(line);
  switch (document && nameOf(document)) {
    case 'progress':
      listener.progress(read('progress', document ?? {}));
      return;
    case 'question':
      void listener.question(read('question', document ?? {})).then((answer) => { send({ answer }); });
      return;
    default:
      listener.text(line);
  }
}

function eachLine(stream: Readable, take: (line: string) => void): Promise<void> {
  return new Promise((resolve) => { createInterface({ input: stream }).on('line', take).on('close', resolve); });
}

function parsed(line: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined;
  }
}
