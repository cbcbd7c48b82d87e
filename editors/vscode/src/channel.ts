/** The output channel *AI Toolkit*: what the command line tells, as a terminal would show it. */
import * as vscode from 'vscode';
import type { Document } from './contract';

const MARKS: Readonly<Record<string, string>> = {
  started: '… ',
  part: '    ✓ ',
  failed_part: '    ✗ ',
  done: '✓ ',
  failed: '✗ ',
  interrupted: '! interrupted: ',
  warning: '! ',
  note: '',
  summary: '\n',
};

export class Channel implements vscode.Disposable {
  private readonly output = vscode.window.createOutputChannel('AI Toolkit');

  show(): void {
    this.output.show(true);
  }

  command(words: readonly string[]): void {
    this.output.appendLine(`\n> remora ${words.join(' ')}`);
  }

  line(text: string): void {
    this.output.appendLine(text);
  }

  /** What is only true just now is left to the notification. */
  progress(event: Document<'progress'>): void {
    const mark = MARKS[event.event];
    if (mark !== undefined) this.output.appendLine(`${mark}${event.text}`);
  }

  failure(failure: Document<'error'>): void {
    this.output.appendLine(`✗ ${failure.error.code}: ${failure.error.message}`);
    if (failure.error.hint) this.output.appendLine(`  → ${failure.error.hint}`);
  }

  dispose(): void {
    this.output.dispose();
  }
}
