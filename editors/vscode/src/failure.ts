/** A command that failed, and how that is shown: code, message, hint, and a button for the next command. */
import * as vscode from 'vscode';
import { ContractError, nameOf, nextOf, read, type Document, type Json } from './contract';
import type { Ended } from './process';

const INTERRUPTED = 'interrupted';
const LONGEST_BUTTON = 40;

/** What the command line said when it failed. */
export class Failure extends Error {
  constructor(readonly document: Document<'error'>, readonly next: string[] | undefined) {
    super(document.error.message);
  }

  get code(): string {
    return this.document.error.code;
  }

  get interrupted(): boolean {
    return this.code === INTERRUPTED;
  }
}

/** The document of a command that ended well. Throws Failure, or ContractError where it said nothing that we know. */
export function resultOf(ended: Ended): Json {
  const { code, document } = ended;
  if (document && nameOf(document) === 'error') throw new Failure(read('error', document), nextOf(document));
  if (code === 0 && document) return document;
  throw new ContractError(`remora ended with ${code === null ? 'a signal' : `exit code ${code}`} and said nothing; see the output channel`);
}

/** Tells the user. Returns the next command where its button was clicked: `["remora", "provision"]`. */
export async function tell(failure: Failure): Promise<string[] | undefined> {
  const { code, message, hint } = failure.document.error;
  const text = failure.interrupted ? message : `${message} (${code})`;
  const button = failure.next && label(failure.next);
  const show = failure.interrupted ? vscode.window.showWarningMessage : vscode.window.showErrorMessage;
  const chosen = await show(hint ? `${text} → ${hint}` : text, ...(button ? [button] : []));
  return chosen === undefined ? undefined : failure.next;
}

function label(words: readonly string[]): string {
  const text = `Run: ${words.join(' ')}`;
  return text.length <= LONGEST_BUTTON ? text : `${text.slice(0, LONGEST_BUTTON - 1)}…`;
}
