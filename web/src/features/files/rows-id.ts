/** The anchor of the rows on a file's page; findings scroll to it. */
export const ROWS_ID = "rows";
