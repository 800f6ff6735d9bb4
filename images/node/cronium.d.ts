// Types of require("cronium").

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Anything that went wrong between this job and Cronium. */
export class CroniumError extends Error {}

/** Cronium answered no: `status` is the HTTP status, `code` a word such as NOT_FOUND. */
export class CroniumAPIError extends CroniumError {
  readonly status: number;
  readonly code: string;
}

/** Cronium did not answer in time. */
export class CroniumTimeoutError extends CroniumError {}

/** This run's input. */
export function input<T = Json>(): Promise<T>;
/** Set the run's output, up to 5 MiB of JSON. The last call wins. */
export function output(value: unknown): Promise<void>;
/** Facts about this run and its job: all of them, or the one called `field`. */
export function context(): Promise<{ [field: string]: Json }>;
export function context<T = Json>(field: string): Promise<T>;
/** The same by its older name. */
export function event(): Promise<{ [field: string]: Json }>;
export function event<T = Json>(field: string): Promise<T>;
/** The value of NAME (this job's) or shared/NAME (all jobs'); `fallback`, or null, if there is none. */
export function getVariable<T = Json>(key: string): Promise<T | null>;
export function getVariable<T = Json>(key: string, fallback: T): Promise<T>;
/** Keep a value, up to 256 KiB of JSON, that outlives the run. */
export function setVariable(key: string, value: unknown): Promise<void>;
/** Add `n` (1) in one step at the server; resolves to the new number. */
export function incrementVariable(key: string, n?: number): Promise<number>;
/** Set the condition that follow-up rules read. */
export function setCondition(condition: boolean): Promise<void>;
