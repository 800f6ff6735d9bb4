// Types of require("cronium").

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Base class of all errors of this module. */
export class CroniumError extends Error {}

/** Cronium refused the request: `status` is the HTTP status, `code` for example NOT_FOUND. */
export class CroniumAPIError extends CroniumError {
  readonly status: number;
  readonly code: string;
}

/** Cronium did not answer in time. */
export class CroniumTimeoutError extends CroniumError {}

/** Resolves to this run's input. */
export function input<T = Json>(): Promise<T>;
/** Sets the run's output, up to 5 MiB of JSON. The last call wins. */
export function output(value: unknown): Promise<void>;
/** Resolves to the context of this run and its job, or one `field` of it. */
export function context(): Promise<{ [field: string]: Json }>;
export function context<T = Json>(field: string): Promise<T>;
/** The older name of `context`. */
export function event(): Promise<{ [field: string]: Json }>;
export function event<T = Json>(field: string): Promise<T>;
/** Resolves to NAME (of this job) or shared/NAME (of all jobs); to `fallback` or null if it does not exist. */
export function getVariable<T = Json>(key: string): Promise<T | null>;
export function getVariable<T = Json>(key: string, fallback: T): Promise<T>;
/** Sets a variable, up to 256 KiB of JSON; variables outlive the run. */
export function setVariable(key: string, value: unknown): Promise<void>;
/** Adds `n` (default 1) atomically; resolves to the new number. */
export function incrementVariable(key: string, n?: number): Promise<number>;
/** Sets the condition that follow-up rules read. */
export function setCondition(condition: boolean): Promise<void>;
