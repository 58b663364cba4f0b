-- What webs know of tasks lies in the store's journal, where all webs of a store see it.
DROP TABLE again;
DROP TABLE verdict;
