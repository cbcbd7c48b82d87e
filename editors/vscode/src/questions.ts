/** The questions of the command line as VS Code asks: quick pick, input box, password box, a modal yes or no. */
import * as vscode from 'vscode';
import type { Document } from './contract';

type Question = Document<'question'>;
type Ask = (question: Question, title: string) => Promise<string | null>;

const KINDS: Readonly<Record<string, Ask>> = { choice: pick, text, secret, yes_no: yesOrNo };

/** The answer; null where the user gave up, or for a kind of question that this version does not know. */
export async function ask(question: Question, title: string): Promise<string | null> {
  return (await KINDS[question.kind]?.(question, title)) ?? null;
}

async function text(question: Question, title: string): Promise<string | null> {
  if (question.choices.length > 0) return pickOrType(question, title);
  const value = question.default ?? '';
  return (await vscode.window.showInputBox({ title, prompt: question.text, value, ignoreFocusOut: true })) ?? null;
}

async function secret(question: Question, title: string): Promise<string | null> {
  return (await vscode.window.showInputBox({ title, prompt: question.text, password: true, ignoreFocusOut: true })) ?? null;
}

async function pick(question: Question, title: string): Promise<string | null> {
  const options = { title, placeHolder: question.text, ignoreFocusOut: true, matchOnDescription: true };
  return (await vscode.window.showQuickPick(itemsOf(question), options))?.label ?? null;
}

/** A quick pick that also takes what is typed. */
function pickOrType(question: Question, title: string): Promise<string | null> {
  const known = itemsOf(question);
  const box = vscode.window.createQuickPick();
  Object.assign(box, { title, placeholder: `${question.text}: choose one, or type another name`, ignoreFocusOut: true });
  box.items = known;
  box.onDidChangeValue((value) => {
    const isNew = value !== '' && !known.some((item) => item.label === value);
    box.items = isNew ? [...known, { label: value, description: 'as typed', alwaysShow: true }] : known;
  });
  return new Promise((resolve) => {
    box.onDidAccept(() => { resolve(box.selectedItems[0]?.label ?? null); box.hide(); });
    box.onDidHide(() => { resolve(null); box.dispose(); });
    box.show();
  });
}

/** What the user may choose, the default first. */
function itemsOf(question: Question): vscode.QuickPickItem[] {
  const others = question.choices.filter((choice) => choice.value !== question.default);
  const items = others.map((choice) => ({ label: choice.value, description: choice.label }));
  if (question.default === null) return items;
  const label = question.choices.find((choice) => choice.value === question.default)?.label;
  return [{ label: question.default, description: ['default', label].filter(Boolean).join(' · ') }, ...items];
}

/** Escape takes the default, which is always the careful answer. */
async function yesOrNo(question: Question, title: string): Promise<string | null> {
  const choices = ['yes', 'no'].map((value) => ({
    title: value === 'yes' ? 'Yes' : 'No', value, isCloseAffordance: value === question.default,
  }));
  const options = { modal: true, detail: title };
  return (await vscode.window.showWarningMessage(question.text, options, ...choices))?.value ?? '';
}
