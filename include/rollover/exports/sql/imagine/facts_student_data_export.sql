-- Imagine Math Facts: year-to-date usage and results of all students, one row per student, each operation beside.
WITH students AS (STUDENTS), used AS (USED), tests AS (TESTS), rooms AS (ROOMS), results AS (
    SELECT account_id, sum(lessons_assigned) AS lessons_assigned, sum(lessons_passed) AS lessons_passed,
           round(avg(average_score), 2) AS average_score,
           sum(lessons_passed) FILTER (WHERE pathway = 'Addition') AS addition,
           avg(average_score) FILTER (WHERE pathway = 'Addition') AS addition_score,
           sum(lessons_passed) FILTER (WHERE pathway = 'Subtraction') AS subtraction,
           avg(average_score) FILTER (WHERE pathway = 'Subtraction') AS subtraction_score,
           sum(lessons_passed) FILTER (WHERE pathway = 'Multiplication') AS multiplication,
           avg(average_score) FILTER (WHERE pathway = 'Multiplication') AS multiplication_score,
           sum(lessons_passed) FILTER (WHERE pathway = 'Division') AS division,
           avg(average_score) FILTER (WHERE pathway = 'Division') AS division_score
    FROM PRODUCT.progress WHERE school_year = %(school_year)s GROUP BY account_id
)
SELECT t.school                         AS "School",
       t.account_id                     AS "Account",
       t.family_name                    AS "Last name",
       t.given_name                     AS "First name",
       t.grade                          AS "Grade",
       m.classrooms                     AS "Classrooms",
       u.first_week                     AS "First week",
       u.last_week                      AS "Last week",
       u.weeks                          AS "Weeks active",
       u.minutes                        AS "Minutes",
       u.problems                       AS "Problems",
       r.lessons_assigned               AS "Lessons assigned",
       r.lessons_passed                 AS "Lessons passed",
       r.average_score                  AS "Average score",
       r.addition                       AS "Addition lessons passed",
       round(r.addition_score, 2)       AS "Addition score",
       r.subtraction                    AS "Subtraction lessons passed",
       round(r.subtraction_score, 2)    AS "Subtraction score",
       r.multiplication                 AS "Multiplication lessons passed",
       round(r.multiplication_score, 2) AS "Multiplication score",
       r.division                       AS "Division lessons passed",
       round(r.division_score, 2)       AS "Division score",
       e.taken                          AS "Checks taken",
       e.first_on                       AS "First check",
       e.first_score                    AS "First score",
       e.last_on                        AS "Last check",
       e.last_score                     AS "Last score",
       e.last_score - e.first_score     AS "Growth"
FROM students t
LEFT JOIN rooms m ON m.account_id = t.account_id
LEFT JOIN used u ON u.account_id = t.account_id
LEFT JOIN results r ON r.account_id = t.account_id
LEFT JOIN tests e ON e.account_id = t.account_id
ORDER BY t.school, t.school_id, t.family_name, t.given_name, t.account_id
