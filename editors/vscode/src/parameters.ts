/**
 * Completion and hover in `infra/**.parameters.json` by our schema. Those files name Microsoft's `$schema`, which knows
 * no parameter's name and goes before a schema that an extension brings. So VS Code's own JSON support is asked about
 * a copy of the text that does not name it; the copy is as long, so that positions stay what they are.
 */
import * as vscode from 'vscode';

const SCHEME = 'remora-parameters';
const FILES: vscode.DocumentSelector = ['json', 'jsonc'].map((language) => (
  { language, pattern: '**/infra/{inference,finetuning,provision/inference,provision/finetuning}.parameters.json' }
));
const TRIGGERS = ['"', ':'];
const NAMED = /"\$schema"(?=\s*:)/;
const NAMELESS = '"_schema"';
/** What VS Code finds in the text itself, and offers for the original too. */
const MERE_WORD = vscode.CompletionItemKind.Text;

export class ParametersHelp implements vscode.CompletionItemProvider, vscode.HoverProvider, vscode.TextDocumentContentProvider {
  register(): vscode.Disposable {
    return vscode.Disposable.from(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.languages.registerCompletionItemProvider(FILES, this, ...TRIGGERS),
      vscode.languages.registerHoverProvider(FILES, this),
    );
  }

  /** The copy; its query is only there to tell one version of the text from the next. */
  provideTextDocumentContent(uri: vscode.Uri): string {
    const original = vscode.Uri.parse(uri.fragment, true).toString();
    const document = vscode.workspace.textDocuments.find((each) => each.uri.toString() === original);
    return document?.getText().replace(NAMED, NAMELESS) ?? '';
  }

  async provideCompletionItems(document: vscode.TextDocument, position: vscode.Position): Promise<vscode.CompletionList | undefined> {
    const copy = copyOf(document);
    if (!copy) return undefined;
    const list = await vscode.commands.executeCommand<vscode.CompletionList>('vscode.executeCompletionItemProvider', copy, position);
    return new vscode.CompletionList(list.items.filter((item) => item.kind !== MERE_WORD), list.isIncomplete);
  }

  async provideHover(document: vscode.TextDocument, position: vscode.Position): Promise<vscode.Hover | undefined> {
    const copy = copyOf(document);
    if (!copy) return undefined;
    const hovers = await vscode.commands.executeCommand<vscode.Hover[]>('vscode.executeHoverProvider', copy, position);
    return hovers[0];
  }
}

/** Undefined where the text names no schema: then ours is the one that VS Code takes. */
function copyOf(document: vscode.TextDocument): vscode.Uri | undefined {
  if (!NAMED.test(document.getText())) return undefined;
  return document.uri.with({ scheme: SCHEME, query: String(document.version), fragment: document.uri.toString() });
}
