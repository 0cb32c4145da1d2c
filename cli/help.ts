// The help: all commands, and one of them in full. The docs page is made from the same texts. Pure.
import type { Command, OptionSpec } from './command.ts';
import { commands } from './commands.ts';
import { globalOptions } from './options.ts';

/** Exit codes in words. */
export const exitCodeLines: readonly (readonly [number, string])[] = [
  [0, 'done, and nothing is wrong'],
  [1, 'a fault was found, or what was asked for did not come about'],
  [2, 'the command line is wrong; nothing was done'],
  [3, 'the cluster cannot be reached, or does not let you'],
];

/** All commands in a line each. */
export function overview(): readonly string[] {
  const width = Math.max(...commands.map(({ name }) => name.length)) + 2;
  return [
    'tabard: certificates, CAs, revocations and authorization of the mesh, seen and steered',
    '',
    'Usage: tabard COMMAND [OPTIONS], or kubectl tabard COMMAND [OPTIONS]',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}${summary}`),
    `  ${'help'.padEnd(width)}This list, or a command in full: tabard help ca rotate`,
    '',
    'Options of every command:',
    ...optionLines(globalOptions),
    '',
    'Exit codes:',
    ...exitCodeLines.map(([code, meaning]) => `  ${code}  ${meaning}`),
  ];
}

/** One command in full. */
export function commandHelp({ name, usage, summary, details, options, examples }: Command): readonly string[] {
  const own = optionLines(options);
  return [
    `tabard ${name}: ${summary}`,
    '',
    `Usage: tabard ${name} ${usage}`.trimEnd(),
    '',
    ...details.split('\n'),
    ...(own.length === 0 ? [] : ['', 'Options:', ...own]),
    '',
    'Options of every command:',
    ...optionLines(globalOptions),
    '',
    'Examples:',
    ...examples.map((example) => `  ${example}`),
  ];
}

function optionLines(options: Readonly<Record<string, OptionSpec>>): readonly string[] {
  const names = Object.entries(options).map(([name, spec]) => [optionName(name, spec), spec.help] as const);
  const width = Math.max(0, ...names.map(([name]) => name.length)) + 2;
  return names.map(([name, help]) => `  ${name.padEnd(width)}${help}`);
}

/** `-n, --namespace NAMESPACE`. */
export function optionName(name: string, { short, value }: OptionSpec): string {
  return `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}
